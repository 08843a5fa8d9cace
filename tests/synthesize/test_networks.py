# SPDX-License-Identifier: Apache-2.0
"""The networks: the report's number of parameters, sizes, gradients, and that they learn."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  PyTorch's own name for it

from veilset.errors import ConfigError
from veilset.synthesize.networks import (
    DECODER_WIDTHS,
    ENCODER_WIDTHS,
    IN_CHANNELS,
    REPORTED_PARAMETERS,
    ReconstructionNetwork,
    attribute_loss,
    n_parameters,
    resnet50_classifier,
    small_classifier,
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Threads that wait for each other cost more than such small networks do."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_network_has_exactly_the_parameters_of_the_report() -> None:
    with torch.device("meta"):
        network = ReconstructionNetwork()
    assert n_parameters(network) == REPORTED_PARAMETERS == 45_121_667


def test_the_number_is_that_of_the_arrangement_that_the_docstring_tells() -> None:
    def block(n_in: int, n_out: int) -> int:
        return 9 * n_in * n_out + 2 * n_out

    before, total = IN_CHANNELS, 0
    for width in ENCODER_WIDTHS:
        total += block(before, width) + block(width, width)
        before = width
    total += block(before, before)
    for skip, width in zip(reversed(ENCODER_WIDTHS), DECODER_WIDTHS, strict=True):
        total += block(before + skip, width) + 2 * block(width, width)
        before = width
    assert total + 3 * before + 3 == REPORTED_PARAMETERS


def test_the_encoder_has_the_sizes_of_the_report() -> None:
    with torch.device("meta"):
        network = ReconstructionNetwork()
        sizes: list[tuple[int, ...]] = []
        for stack in network.encoder:
            stack.register_forward_hook(lambda _, __, given: sizes.append(tuple(given.shape[1:])))
        face = network(torch.empty(2, 111, 128, 64))
    assert sizes == [(128, 128, 64), (256, 64, 32), (384, 32, 16), (512, 16, 8), (640, 8, 4)]
    assert face.shape == (2, 3, 128, 64)


def small_network() -> ReconstructionNetwork:
    torch.manual_seed(0)
    return ReconstructionNetwork(n_in=5, encoder_widths=(6, 8), decoder_widths=(7, 6))


def test_every_parameter_takes_part_and_the_face_is_between_0_and_1() -> None:
    network = small_network()
    face = network(torch.rand(2, 5, 16, 8))
    assert face.shape == (2, 3, 16, 8)
    assert 0 < float(face.detach().min()) < float(face.detach().max()) < 1
    face.square().sum().backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.abs().sum() > 0), name


def test_the_skips_carry_the_surroundings_past_the_bottom() -> None:
    network = small_network().eval()
    factors = torch.zeros(1, 5, 16, 8)
    other = factors.clone()
    other[0, 0, 3, 4] = 1.0
    changed = (network(factors) - network(other)).abs().sum(dim=1)[0]
    assert bool(changed[3, 4] > 0)


def test_it_learns_to_give_one_of_its_inputs_back() -> None:
    network, factors = small_network(), torch.rand(4, 5, 16, 8)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(40):
        loss = F.l1_loss(network(factors), factors[:, :3])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_widths_that_make_no_network_are_refused() -> None:
    for encoder, decoder in (((8,), (8, 8)), ((), ())):
        with pytest.raises(ConfigError, match="stacks do not make a network"):
            ReconstructionNetwork(3, encoder, decoder)


def test_classifiers_give_a_logit_for_each_attribute() -> None:
    for network in (small_classifier(7, width=4), resnet50_classifier(7)):
        network.eval()
        with torch.no_grad():
            assert network(torch.rand(2, 3, 32, 24)).shape == (2, 7)
    with torch.device("meta"):
        # ResNet-50's convolutions, and 2,048 inputs and a bias for each of 40 logits.
        assert n_parameters(resnet50_classifier()) == 25_557_032 - 2_049_000 + 40 * 2049


def test_the_loss_is_summed_over_attributes_and_averaged_over_images() -> None:
    rng = np.random.default_rng(0)
    logits, present = rng.normal(size=(6, 40)), rng.random((6, 40)) < 0.5
    sigmoid = 1 / (1 + np.exp(-logits))
    wanted = -np.where(present, np.log(sigmoid), np.log(1 - sigmoid)).sum(axis=1).mean()
    found = attribute_loss(torch.tensor(logits), torch.tensor(present))
    assert float(found) == pytest.approx(wanted)


def test_the_small_classifier_learns_on_a_cpu() -> None:
    torch.manual_seed(0)
    network, present = small_classifier(3, width=4), torch.rand(32, 3) < 0.5
    pictures = present.float()[:, :, None, None].expand(-1, -1, 16, 16) + 0.1 * torch.rand(1)
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(30):
        loss = attribute_loss(network(pictures), present)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    right = (network(pictures) > 0) == present
    assert float(right.float().mean()) > 0.95
