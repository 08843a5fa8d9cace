# SPDX-License-Identifier: Apache-2.0
"""Critics that look through a fixed network: what they see, who learns when, what is asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from tests.synthesize.small_generators import CONFIG, train
from tests.unit.audit.drawn_lite import REPEATS, drawn_tensors
from veilset.errors import MissingExtraError
from veilset.synthesize.feature_critics import (
    FeatureCritics,
    hinge_fool_loss,
    hinge_judge_loss,
    perceptual_loss,
)
from veilset.synthesize.fixed_features import FixedFeatures
from veilset.synthesize.inpainting_batches import Batch
from veilset.synthesize.inpainting_critics import InpaintingCritics, Looked, perceptual

SIDE = 64


def fixed() -> FixedFeatures:
    return FixedFeatures(drawn_tensors(), REPEATS)


def drawn_critics() -> InpaintingCritics:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return InpaintingCritics(4, fixed())


def drawn_batch() -> tuple[Batch, Tensor]:
    """Give two views, and what was drawn in them, which wants gradients."""
    random = torch.Generator().manual_seed(2)
    wanted = torch.rand(2, 3, SIDE, SIDE, generator=random) * 2 - 1
    to_make = torch.zeros(2, 1, SIDE, SIDE)
    to_make[..., 20:44, 20:44] = 1
    known = 1 - to_make
    batch = Batch(torch.cat([wanted * known, to_make, known], 1), wanted, torch.ones_like(known))
    drawn = torch.rand(2, 3, SIDE, SIDE, generator=random) * 2 - 1
    return batch, drawn.requires_grad_()


def test_they_answer_at_each_scale_the_finest_first() -> None:
    critics = FeatureCritics(fixed())
    # Smaller pictures are enlarged to 128 px.
    for side, scales in ((48, (32, 16, 8, 4)), (128, (32, 16, 8, 4)), (192, (48, 24, 12, 6))):
        looked = critics.look(torch.zeros(2, 3, side, side))
        answers = critics(looked, torch.zeros(2, 1, side, side))
        assert [tuple(each.shape) for each in answers] == [(2, 1, s, s) for s in scales]


def test_only_what_judges_learns() -> None:
    critics = FeatureCritics(fixed())
    assert all(name.startswith("_critics.") for name, _ in critics.named_parameters())
    mixed = [name for name, _ in critics.named_buffers() if name.startswith(("across", "down"))]
    assert len(mixed) == 7
    # They are in the checkpoint, the packaged weights are not.
    assert set(mixed) <= set(critics.state_dict())
    assert not any("_fixed" in name for name in critics.state_dict())


def test_nothing_of_what_is_seen_is_lost_in_the_mixing() -> None:
    network = FixedFeatures.packaged()
    critics = FeatureCritics(network)
    assert network.widths == (24, 48, 120, 352)
    for at, width in enumerate(network.widths):
        mixing = critics.get_buffer(f"across_{at}").flatten(1)
        assert int(torch.linalg.matrix_rank(mixing)) == width


def test_scales_count_alike() -> None:
    """However loud a scale is: what the finest critic answers moves with none of them."""
    critics, where = FeatureCritics(fixed()), torch.zeros(1, 1, 128, 128)
    looked = critics.look(torch.rand(1, 3, 128, 128) * 2 - 1)
    answers = critics.eval()(looked, where)
    for at in range(len(looked)):
        louder = [each * (100 if place == at else 1) for place, each in enumerate(looked)]
        for one, other in zip(critics(louder, where), answers, strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-3)
    # And each scale reaches the finest critic.
    looked = [each.detach().requires_grad_() for each in looked]
    critics(looked, where)[0].sum().backward()
    reached = [
        float(each.grad.norm() * each.detach().norm()) for each in looked if each.grad is not None
    ]
    assert len(reached) == 4
    assert min(reached) > 0.01 * max(reached)


def test_critics_learn_and_the_drawn_does_not_move_and_the_other_way_round() -> None:
    critics, (seen, drawn) = drawn_critics(), drawn_batch()
    looked = critics.look(seen, seen.completed(drawn))
    judged = critics.judge(seen, seen.completed(drawn), looked)
    assert set(judged) == {"critics", "feature_critics"}
    torch.stack(list(judged.values())).sum().backward()
    moved_by_judges = drawn.grad
    assert moved_by_judges is None
    assert all(each.grad is not None for each in critics.parameters())
    critics.zero_grad(set_to_none=True)
    asked = critics.ask(seen, seen.completed(drawn), looked) | perceptual(looked)
    assert set(asked) == {"fooled", "features", "feature_fooled", "perceptual"}
    for loss in asked.values():
        (moved,) = torch.autograd.grad(loss, drawn, retain_graph=True)
        assert float(moved[..., 20:44, 20:44].abs().sum()) > 0
        assert not moved[..., :20, :].any(), "what is shown was not drawn"
    torch.stack(list(asked.values())).sum().backward()
    assert drawn.grad is not None
    assert all(each.grad is None for each in critics.parameters())
    assert all(each.requires_grad for each in critics.parameters())


def test_they_compute_in_bfloat16_too() -> None:
    critics, (seen, drawn) = drawn_critics(), drawn_batch()
    completed = seen.completed(drawn)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        looked = critics.look(seen, completed)
        judged = critics.judge(seen, completed, looked)
        asked = critics.ask(seen, completed, looked) | perceptual(looked)
    losses = [*judged.values(), *asked.values()]
    assert all(each.dtype == torch.float32 for each in losses)
    torch.stack(losses).sum().backward()
    assert drawn.grad is not None
    assert bool(drawn.grad.isfinite().all())


def test_without_the_network_pixels_alone_are_judged() -> None:
    critics, (seen, drawn) = InpaintingCritics(4, None), drawn_batch()
    completed = seen.completed(drawn)
    assert critics.look(seen, completed) is None
    assert set(critics.judge(seen, completed, None)) == {"critics"}
    assert set(critics.ask(seen, completed, None)) == {"fooled", "features"}
    assert perceptual(None) == {}


def test_critics_learn_to_tell_drawn_from_real() -> None:
    critics, (seen, drawn) = drawn_critics(), drawn_batch()
    completed = seen.completed(drawn).detach()
    optimizer = torch.optim.Adam(critics.parameters(), lr=1e-3, betas=(0.5, 0.99))
    told = []
    for _ in range(40):
        judged = critics.judge(seen, completed, critics.look(seen, completed))
        told.append(float(judged["feature_critics"].detach()))
        optimizer.zero_grad()
        judged["feature_critics"].backward()
        optimizer.step()
    # Single steps go astray, and elsewhere with another number of threads.
    assert np.median(told[-5:]) < 0.75 * told[0]


def test_hinges_by_hand() -> None:
    real, made = [torch.tensor([0.5, 3.0]), torch.tensor([-1.0])], [torch.tensor([0.0])] * 2
    # (0.5 + 0) / 2 + 1 at the first scale, 2 + 1 at the second.
    assert float(hinge_judge_loss(real, made)) == pytest.approx((1.25 + 3) / 2)
    assert float(hinge_fool_loss(real)) == pytest.approx(-(1.75 - 1) / 2)


@settings(max_examples=30)
@given(seed=st.integers(0, 2**31), times=st.floats(0.1, 50))
def test_perceptual_loss_is_of_directions(seed: int, times: float) -> None:
    random = torch.Generator().manual_seed(seed)
    a, b = (torch.randn(2, 5, 3, 4, generator=random) for _ in range(2))
    assert float(perceptual_loss([a], [a * times])) == pytest.approx(0, abs=1e-4)
    assert float(perceptual_loss([a], [-a])) == pytest.approx(4, abs=1e-3)
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=1).mean()
    assert float(perceptual_loss([a], [b])) == pytest.approx(2 - 2 * float(cosine), abs=1e-4)
    # All scales count alike, however many places they have.
    coarse = torch.ones(2, 7, 1, 1)
    both = perceptual_loss([a, coarse], [b, coarse])
    assert float(both) == pytest.approx((2 - 2 * float(cosine)) / 2, abs=1e-4)


def test_looked_at_nothing_is_not_perceptual() -> None:
    seen = [torch.zeros(1, 4, 2, 2)]
    assert float(perceptual(Looked(seen, seen))["perceptual"]) == 0


def test_without_the_package_it_says_what_to_do_before_any_work(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(_: object) -> None:
        raise MissingExtraError("It is not installed.")

    monkeypatch.setattr("veilset.synthesize.fixed_features.read_lite", missing)
    with pytest.raises(MissingExtraError, match=r"installed\. Or train .*--no-feature-critics"):
        train(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert CONFIG.training.feature_critics
