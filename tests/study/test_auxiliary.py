# SPDX-License-Identifier: Apache-2.0
"""GoogLeNet and Inception v3: their further outputs in training, evaluation and transfer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from veilset.errors import RunError
from veilset.files import sha256_file
from veilset.study import records
from veilset.study.config import NetworkSpec
from veilset.study.layout import StudyPaths, run_name
from veilset.study.networks import build, logits, published, replace_head, training_loss
from veilset.study.records import Work
from veilset.study.transfer.starts import Start, find_start, load_trained, with_new_head

N_CLASSES = 6
# The draws of the library's own initialisation take seconds.
GOOGLENET = NetworkSpec("googlenet", arguments={"init_weights": False})
WITH = NetworkSpec("googlenet", arguments={"aux_logits": True, "init_weights": False})
PARTS = ("aux1", "aux2", "AuxLogits")


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What torchvision publishes: all three outputs."""
    torch.manual_seed(1)
    module = torchvision.models.googlenet(
        weights=None, num_classes=N_CLASSES, aux_logits=True, init_weights=False
    )
    folder = tmp_path_factory.mktemp("weights")
    save_file(module.state_dict(), folder / "googlenet.safetensors")
    return folder


def finished(paths: StudyPaths, network: NetworkSpec, module: nn.Module, init: str) -> Start:
    run_id = run_name(network.name, "original", 1)
    folder = paths.run(run_id)
    folder.mkdir(parents=True)
    save_file(module.state_dict(), folder / "weights.safetensors")
    records.check_started(folder, {"run_id": run_id, "n_classes": N_CLASSES, "init": init})
    records.finish_run(folder, sha256_file(folder / "weights.safetensors"), Work(), device="cpu")
    start = find_start(paths, network, "original", 1)
    assert start is not None
    return start


def test_published_weights_are_fine_tuned_without_the_outputs_of_training(
    weights: Path, tmp_path: Path
) -> None:
    origin = published(GOOGLENET, weights, n_classes=N_CLASSES)[0]
    start = finished(StudyPaths(tmp_path), GOOGLENET, origin, "weights")
    module = with_new_head(start, "cifar10", 10)
    assert [name for name in PARTS if getattr(module, name, None) is not None] == []
    x = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert logits(module.eval(), x).shape == (2, 10)
    # All but the head is theirs, the colours that the weights were made for included.
    module.fc = origin.fc
    with torch.no_grad():
        assert torch.equal(module(x), origin(x))


def test_what_is_trained_here_takes_pictures_as_it_did(tmp_path: Path) -> None:
    origin = build(GOOGLENET, N_CLASSES, seed=1)
    start = finished(StudyPaths(tmp_path), GOOGLENET, origin, "random")
    module = with_new_head(start, "cifar10", 10).eval()
    module.fc = origin.fc
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.equal(module(x), origin.eval()(x))


def test_other_weights_are_still_refused(weights: Path) -> None:
    start = Start(NetworkSpec("resnet18"), "original", 1, weights / "googlenet.safetensors")
    with pytest.raises(RunError, match="does not hold the weights of resnet18"):
        load_trained(build(start.network, N_CLASSES, seed=1), start)


def test_outputs_that_are_asked_for_are_trained_and_not_evaluated() -> None:
    module = replace_head(build(WITH, N_CLASSES, seed=1), 4).train()
    for name in ("fc", "aux1.fc2", "aux2.fc2"):
        assert module.get_submodule(name).out_features == 4
    x = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    labels = torch.tensor([0, 3, 2])
    torch.manual_seed(5)
    loss, scores = training_loss(module, x, lambda given: functional.cross_entropy(given, labels))
    torch.manual_seed(5)
    main, second, first = module(x)
    expected = functional.cross_entropy(main, labels)
    expected = expected + 0.4 * functional.cross_entropy(second, labels)
    expected = expected + 0.4 * functional.cross_entropy(first, labels)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert torch.equal(scores, main)
    loss.backward()
    untouched = [name for name, each in module.named_parameters() if each.grad is None]
    assert untouched == []
    assert logits(module.eval(), x).shape == (3, 4)


def test_inception_trains_with_its_second_output_where_the_pictures_are_large_enough() -> None:
    spec = NetworkSpec("inception_v3", arguments={"aux_logits": True, "init_weights": False})
    with torch.device("meta"):
        module = replace_head(build(spec, N_CLASSES, seed=1), 4).train()
        x, labels = torch.zeros(2, 3, 299, 299), torch.zeros(2, dtype=torch.int64)
        loss, scores = training_loss(
            module, x, lambda given: functional.cross_entropy(given, labels)
        )
        assert scores.shape == (2, 4)
        assert module.AuxLogits.fc.out_features == 4
        loss.backward()
        assert all(each.grad is not None for each in module.parameters())
        with pytest.raises(RuntimeError, match="Kernel size"):
            module(torch.zeros(2, 3, 224, 224))


def test_a_network_with_one_output_has_its_own_loss_alone() -> None:
    module = build(NetworkSpec("squeezenet1_1"), N_CLASSES, seed=1).eval()
    x, labels = torch.rand(2, 3, 64, 64), torch.tensor([1, 2])
    with torch.no_grad():
        loss, scores = training_loss(
            module, x, lambda given: functional.cross_entropy(given, labels)
        )
        assert loss == functional.cross_entropy(module(x), labels)
        assert torch.equal(scores, module(x))
