# SPDX-License-Identifier: Apache-2.0
"""A generator that starts from another one: with its weights, and with all that its card says."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.synthesize.small_generators import CONFIG, TRAINING, VIEWS, train
from veilset.errors import ConfigError, ResumeMismatchError
from veilset.files import sha256_file
from veilset.synthesize.generating import CARD, GeneratorConfig
from veilset.synthesize.inpainting_training import Start, _Learner, load_inpainter
from veilset.synthesize.machine import Machine
from veilset.synthesize.views_file import ViewsFile

ONE_EPOCH = replace(TRAINING, epochs=1)


def test_its_first_weights_are_those_of_the_other(whole: Path, tmp_path: Path) -> None:
    start = Start.read(whole / "training", TRAINING)
    views = ViewsFile.open(whole / "views")
    learner = _Learner(views, TRAINING, Machine(threads=1), tmp_path, start)
    for network in (learner.networks["main"], learner.mean):
        for name, value in load_inpainter(whole / "training")[0].state_dict().items():
            assert torch.equal(network.state_dict()[name], value)
    # Nothing of it is shared: one training does not move the other's network.
    learner.step(0, 0)
    assert not torch.equal(
        learner.networks["main"].state_dict()["enter.weight"],
        start.network.state_dict()["enter.weight"],
    )


def test_critics_judge_it_from_the_first_step(whole: Path, tmp_path: Path) -> None:
    views = ViewsFile.open(whole / "views")
    patient = replace(TRAINING, warm_up=1.0)
    start = Start.read(whole / "training", patient)
    for given, has_critics in ((None, False), (start, True)):
        learner = _Learner(views, patient, Machine(threads=1), tmp_path, given)
        assert ("fooled" in learner.step(0, 0)) == has_critics


def test_the_card_says_what_both_learned_from(source: Path, whole: Path, tmp_path: Path) -> None:
    config = GeneratorConfig(VIEWS, replace(ONE_EPOCH, data_licence="of mine"))
    assert train(source, tmp_path / "out", config=config, start_from=whole)
    card = (tmp_path / "out" / CARD).read_text()
    digest = sha256_file(whole / "training" / "weights.safetensors")
    assert f"first weights were those of a generator (SHA-256 {digest})" in card
    assert "licence of their photographs: not stated" in card
    assert "the faces above, in the same split" in card
    assert "may have learned from people of the test" not in card
    assert "first weights were" not in (whole / CARD).read_text()

    other = GeneratorConfig(replace(VIEWS, seed=5), ONE_EPOCH)
    assert train(source, tmp_path / "next", config=other, start_from=tmp_path / "out")
    card = (tmp_path / "next" / CARD).read_text()
    assert card.count("Its first weights were") == 2, "the one before is told too"
    assert "**It may have learned from people of the test below.**" in card


def test_another_start_is_no_resume(source: Path, whole: Path, tmp_path: Path) -> None:
    config = GeneratorConfig(VIEWS, ONE_EPOCH)
    first = train(source, tmp_path / "out", config=config, start_from=whole)
    assert train(source, tmp_path / "out", config=config, start_from=whole) == first
    with pytest.raises(ResumeMismatchError, match="start_sha256"):
        train(source, tmp_path / "out", config=config)
    with pytest.raises(ResumeMismatchError, match="start_sha256"):
        train(source, tmp_path / "out", config=config, start_from=tmp_path / "out")


def test_what_is_no_start_is_refused_before_faces_are_cut(
    source: Path, whole: Path, tmp_path: Path
) -> None:
    wide = replace(CONFIG, training=replace(TRAINING, widths=(8, 16, 16)))
    with pytest.raises(ConfigError, match=r"are of widths \(8, 8, 16\)"):
        train(source, tmp_path / "out", config=wide, start_from=whole)
    for wrong in (source, tmp_path / "absent"):
        with pytest.raises(ConfigError):
            train(source, tmp_path / "out", start_from=wrong)
    assert not (tmp_path / "out").exists()
