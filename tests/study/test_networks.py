# SPDX-License-Identifier: Apache-2.0
"""Networks: all that the study names can be built, given another head, and looked into."""

from __future__ import annotations

import hashlib
import io
import re
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

from veilset.errors import ConfigError, RunError
from veilset.study.config import NetworkSpec
from veilset.study.networks import build, cam_layer, logits, published, replace_head

# Tables 3 and 7 of the study.
TRAINED = """alexnet squeezenet1_0 shufflenet_v2_x1_0 vgg11 vgg13 vgg16 vgg19 mobilenet_v2
densenet121 densenet201 resnet18 resnet34 resnet50 resnet101 resnet152""".split()
PUBLISHED = """googlenet inception_v3 squeezenet1_1 mnasnet1_0 densenet161 densenet169
resnext50_32x4d resnext101_32x8d wide_resnet50_2 wide_resnet101_2""".split()
TINY = NetworkSpec(
    name="resnet10-w16",
    source="timm",
    model="resnet18",
    arguments={"layers": [1, 1, 1, 1], "channels": [16, 32, 64, 128]},
)
MOBILE = NetworkSpec(name="mobile", source="timm", model="mobilenetv3_small_050")


def spec_of(model: str, **changes: Any) -> NetworkSpec:
    return NetworkSpec(name=model, source="torchvision", model=model, **changes)


def digest(module: nn.Module) -> str:
    stream = io.BytesIO()
    torch.save(module.state_dict(), stream)
    return hashlib.sha256(stream.getvalue()).hexdigest()


@pytest.mark.parametrize("name", ["checkpoint_path", "pretrained", "weights"])
def test_weights_that_the_library_would_load_itself_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=rf"arguments\.{name}: .*'init: weights'"):
        spec_of("resnet18", arguments={name: "/tmp/weights.pth"})


@pytest.mark.parametrize("model", [*TRAINED, *PUBLISHED])
def test_every_network_of_the_study_is_torchvisions_with_another_head(model: str) -> None:
    spec = spec_of(model)
    reference: dict[str, Any] = (
        {"aux_logits": False} if model in ("googlenet", "inception_v3") else {}
    )
    with torch.device("meta"):
        built = build(spec, 1000, seed=1)
        theirs = torchvision.models.get_model(
            model, weights=None, **reference, **({"init_weights": False} if reference else {})
        )
        shapes = {k: v.shape for k, v in built.state_dict().items()}
        assert shapes == {k: v.shape for k, v in theirs.state_dict().items()}
        replace_head(built, 7).eval()
        maps: list[torch.Size] = []
        cam_layer(built, spec).register_forward_hook(lambda *seen: maps.append(seen[2].shape))
        with torch.no_grad():
            assert logits(built, torch.zeros(2, 3, 224, 224)).shape == (2, 7)
    changed = {k for k, v in built.state_dict().items() if shapes[k] != v.shape}
    assert len({key.rpartition(".")[0] for key in changed}) == 1
    assert len(maps) == 1
    assert len(maps[0]) == 4
    assert 5 <= maps[0][2] == maps[0][3] <= 14


@pytest.mark.parametrize("spec", [TINY, MOBILE], ids=lambda spec: spec.name)
def test_networks_of_timm_have_heads_and_maps(spec: NetworkSpec) -> None:
    module = replace_head(build(spec, 10, seed=1), 3).eval()
    maps: list[torch.Size] = []
    cam_layer(module, spec).register_forward_hook(lambda *seen: maps.append(seen[2].shape))
    with torch.no_grad():
        assert logits(module, torch.zeros(2, 3, 64, 64)).shape == (2, 3)
    assert [len(shape) for shape in maps] == [4]


def test_a_seed_decides_the_weights_and_nothing_else() -> None:
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first = digest(build(TINY, 10, seed=1))
    assert torch.equal(before, torch.random.get_rng_state())
    torch.manual_seed(99)
    assert digest(build(TINY, 10, seed=1)) == first
    assert digest(build(TINY, 10, seed=2)) != first


def test_a_network_that_nobody_knows_is_told_with_a_near_one() -> None:
    with pytest.raises(ConfigError, match=r"torchvision knows no network 'resnet19'.*'resnet1"):
        build(spec_of("resnet19"), 10, seed=1)
    with pytest.raises(ConfigError, match=r"'resnet18' cannot be built: .*'layer'.*'arguments'"):
        build(spec_of("resnet18", arguments={"layer": 3}), 10, seed=1)
    # A detector is no classifier.
    with pytest.raises(ConfigError, match="knows no network 'fasterrcnn_resnet50_fpn'"):
        build(spec_of("fasterrcnn_resnet50_fpn"), 10, seed=1)


@pytest.mark.parametrize("model", ["squeezenet1_1", "mnasnet0_5", "googlenet"])
def test_published_weights_come_from_a_folder(model: str, tmp_path: Path) -> None:
    reference = torchvision.models.get_model(model, weights=None, num_classes=20, **(
        {"init_weights": True} if model == "googlenet" else {}
    )).eval()  # fmt: skip
    save_file(reference.state_dict(), tmp_path / f"{model}.safetensors")
    module, card = published(spec_of(model), tmp_path, n_classes=20)
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        reference.transform_input = True
        assert torch.equal(logits(module, x), reference(x))
    assert (
        card.sha256 == hashlib.sha256((tmp_path / f"{model}.safetensors").read_bytes()).hexdigest()
    )
    with pytest.raises(RunError, match=r"does not hold the weights of .* with 21 classes"):
        published(spec_of(model), tmp_path, n_classes=21)


def test_weights_with_old_names_and_wrapped_ones_are_read(tmp_path: Path) -> None:
    reference = torchvision.models.densenet121(num_classes=5).eval()
    new = re.compile(r"(denselayer\d+\.(?:norm|conv))([12])\.")
    state = {new.sub(r"\1.\2.", f"module.{k}"): v for k, v in reference.state_dict().items()}
    assert "module.features.denseblock1.denselayer1.norm.1.weight" in state
    torch.save({"epoch": 3, "state_dict": state}, tmp_path / "densenet121.pth")
    module, _ = published(spec_of("densenet121"), tmp_path, n_classes=5)
    assert digest(module) == digest(reference)


def test_a_file_that_would_run_code_is_refused(tmp_path: Path) -> None:
    torch.save({"x": Path("/")}, tmp_path / "resnet18.pth")
    with pytest.raises(RunError, match="damaged, or holds more than weights"):
        published(spec_of("resnet18"), tmp_path)
    (tmp_path / "resnet18.safetensors").write_bytes(b"nothing")
    with pytest.raises(RunError, match=r"resnet18\.safetensors is damaged"):
        published(spec_of("resnet18"), tmp_path)
    for odd in ([1, 2], torch.zeros(3), {1: torch.zeros(3)}, {"state_dict": [1]}):
        torch.save(odd, tmp_path / "resnet50.pth")
        with pytest.raises(RunError, match=r"resnet50\.pth holds no weights by name\."):
            published(spec_of("resnet50"), tmp_path)
    torch.save({"fc.weight": 5}, tmp_path / "resnet101.pth")
    with pytest.raises(RunError, match="does not hold the weights of resnet101"):
        published(spec_of("resnet101"), tmp_path)
    with pytest.raises(RunError, match=r"holds neither resnet34\.safetensors nor"):
        published(spec_of("resnet34"), tmp_path)
    with pytest.raises(ConfigError, match="have to lie in a folder"):
        published(MOBILE, None)
