# SPDX-License-Identifier: Apache-2.0
"""Trainings: interrupted or not they end alike, and say what went wrong."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PillowImage

from tests.conftest import files_below
from tests.synthesize.small_trainings import (
    CLASSIFIER,
    FULL,
    GENERATOR,
    KILLED_AT,
    MACHINE,
)
from veilset.errors import ConfigError, ResumeMismatchError, RunError
from veilset.learning.checkpoint import DamagedCheckpointError
from veilset.plugins import make_obfuscator
from veilset.synthesize import machine, reconstruction_training
from veilset.synthesize.attribute_training import AttributeClassifier, train_attributes
from veilset.synthesize.faces_file import TARGETS, FacesFile
from veilset.synthesize.generator import Generator
from veilset.synthesize.machine import Machine
from veilset.synthesize.prepared import TEST
from veilset.synthesize.reconstruction_training import train_reconstruction
from veilset.synthesize.training import Habits, TrainingProgress, epoch_rows


def results(folder: Path) -> dict[str, bytes]:
    """Give what a training leaves behind, without its lock."""
    return {name: data for name, data in files_below(folder).items() if name != "lock"}


def test_an_epoch_has_every_face_once_and_an_order_of_its_own() -> None:
    first, again, second = (epoch_rows(20, 5, seed=1, epoch=epoch) for epoch in (0, 0, 1))
    np.testing.assert_array_equal(np.concatenate(first), np.concatenate(again))
    assert (np.concatenate(first) != np.concatenate(second)).any()
    np.testing.assert_array_equal(np.sort(np.concatenate(second)), np.arange(20))


def test_killed_in_mid_epoch_it_ends_in_the_same_bytes(faces: Path, tmp_path: Path) -> None:
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    command = [sys.executable, "-m", "tests.synthesize.small_trainings", str(faces), str(cut)]
    killed = subprocess.run(command, capture_output=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr.decode()
    assert json.loads((cut / "checkpoint.json").read_bytes())["step"] == KILLED_AT - 1
    assert not (cut / "weights.safetensors").exists()
    for folder in (cut, whole):
        train_reconstruction(faces, folder, FULL, machine=MACHINE)
    assert results(cut) == results(whole)
    assert "weights.safetensors" in results(whole)


def test_an_error_in_mid_epoch_changes_nothing_either(faces: Path, tmp_path: Path) -> None:
    def fail(progress: TrainingProgress) -> None:
        if progress.step == KILLED_AT:
            raise KeyboardInterrupt

    habits = Habits(checkpoint_every_s=0.0, on_progress=fail)
    cut, whole = tmp_path / "cut", tmp_path / "whole"
    with pytest.raises(KeyboardInterrupt):
        train_attributes(faces, cut, CLASSIFIER, machine=MACHINE, habits=habits)
    for folder in (cut, whole):
        train_attributes(faces, folder, CLASSIFIER, machine=MACHINE)
    assert results(cut) == results(whole)


def test_the_same_seed_gives_the_same_weights_and_another_others(
    faces: Path, tmp_path: Path
) -> None:
    weights = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.rand(1)  # what others drew before does not matter
        config = replace(GENERATOR, epochs=1, seed=seed)
        train_reconstruction(faces, tmp_path / name, config, machine=MACHINE)
        weights.append((tmp_path / name / "weights.safetensors").read_bytes())
    assert weights[0] == weights[1] != weights[2]


def test_stopped_it_goes_on_and_finished_it_gives_what_is_there(
    faces: Path, tmp_path: Path
) -> None:
    told: list[TrainingProgress] = []
    habits = Habits(should_stop=lambda: len(told) == 2, on_progress=told.append)
    assert train_attributes(faces, tmp_path, CLASSIFIER, machine=MACHINE, habits=habits) is None
    habits = Habits(on_progress=told.append)
    result = train_attributes(faces, tmp_path, CLASSIFIER, machine=MACHINE, habits=habits)
    assert result is not None
    assert [each.step for each in told] == list(range(1, told[0].n_steps + 1))
    assert not list(tmp_path.glob("checkpoint*"))
    before = len(told)
    again = train_attributes(faces, tmp_path, CLASSIFIER, machine=MACHINE, habits=habits)
    assert again == result
    assert len(told) == before


def test_a_loss_that_is_no_number_is_refused_with_the_remedy(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(made: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        return (made - wanted).abs().mean() * float("nan")

    monkeypatch.setattr(reconstruction_training, "ssim_loss", spoilt)
    remedy = r"became nan by step 1 .*lr 0\.001.* Lower the learning rate \(--rate\)"
    with pytest.raises(RunError, match=remedy):
        train_reconstruction(faces, tmp_path, GENERATOR, machine=MACHINE)
    assert not (tmp_path / "weights.safetensors").exists()
    assert not (tmp_path / "checkpoint.json").exists()


def test_auto_is_the_first_device_and_several_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "find_devices", lambda _: ("cuda:0", "cuda:1"))
    assert Machine("auto").name == "cuda:0"
    with pytest.raises(ConfigError, match=r"'cuda:0,cuda:1' is several\. Give one"):
        Machine("cuda:0,cuda:1")


def test_a_generator_that_was_not_exported_is_told_so(trained: Path) -> None:
    with pytest.raises(ConfigError, match=rf"Write it with 'veilset synthesize export {trained}'"):
        make_obfuscator("synthesize", {"model": str(trained)})


def test_other_settings_are_no_resume_and_a_damaged_checkpoint_no_beginning(
    faces: Path, tmp_path: Path
) -> None:
    habits = Habits(should_stop=lambda: True)
    assert train_attributes(faces, tmp_path, CLASSIFIER, machine=MACHINE, habits=habits) is None
    with pytest.raises(ResumeMismatchError, match=r"config\.lr changed from 0\.001 to 0\.5"):
        train_attributes(faces, tmp_path, replace(CLASSIFIER, lr=0.5), machine=MACHINE)
    (checkpoint,) = tmp_path.glob("checkpoint-*.safetensors")
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1])
    with pytest.raises(DamagedCheckpointError, match=r"bytes instead of.* same command again"):
        train_attributes(faces, tmp_path, CLASSIFIER, machine=MACHINE)


@pytest.mark.parametrize("text", ["", "{", "[]", "null"])
def test_a_damaged_record_of_what_was_begun_is_named(
    faces: Path, tmp_path: Path, text: str
) -> None:
    (tmp_path / "started.json").write_text(text)
    with pytest.raises(RunError, match=r"started\.json is damaged.* train into another folder\."):
        train_attributes(faces, tmp_path, CLASSIFIER, machine=MACHINE)
    with pytest.raises(RunError, match=r"started\.json is damaged.* train into another folder\."):
        train_reconstruction(faces, tmp_path, GENERATOR, machine=MACHINE)


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_damaged_result_is_named(faces: Path, tmp_path: Path, text: str) -> None:
    stopped = Habits(should_stop=lambda: True)
    ways: list[tuple[str, Any, Any]] = [
        ("a", train_attributes, CLASSIFIER),
        ("b", train_reconstruction, GENERATOR),
    ]
    for name, train, config in ways:
        folder = tmp_path / name
        assert train(faces, folder, config, machine=MACHINE, habits=stopped) is None
        (folder / "result.json").write_text(text)
        with pytest.raises(RunError, match=r"result\.json is damaged: it .* Restore it, or train"):
            train(faces, folder, config, machine=MACHINE)
        assert list(folder.glob("checkpoint-*"))


def test_a_classifier_learns_is_measured_and_read_again(faces: Path, tmp_path: Path) -> None:
    config = replace(CLASSIFIER, epochs=15, lr=0.02, width=4)
    result = train_attributes(faces, tmp_path, config, machine=MACHINE)
    assert result is not None
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    losses = [line["losses"]["bce"] for line in lines if "losses" in line]
    assert losses[-1] < 0.5 * losses[0]
    data = FacesFile.open(faces)
    rows = data.rows(TEST)
    assert result["n_images"] == len(rows) == 5
    assert result["n_people"] == result["mean_accuracy"]["n"] == 1
    assert [each["name"] for each in result["attributes"]] == list(data.names)
    classifier = AttributeClassifier.load(tmp_path)
    scores = classifier.scores(data.pictures[TARGETS].take(rows.tolist()))
    right = ((scores > 0) == data.present[rows]).mean()
    assert result["mean_accuracy"]["value"] == pytest.approx(right)
    assert classifier.card["n"]["test"] == {"faces": 5, "people": 1}
    with pytest.raises(ConfigError, match="Cut them to the size"):
        classifier.scores(np.zeros((1, 8, 8, 3), np.uint8))
    with pytest.raises(ConfigError, match="does not hold veilset-face-generator"):
        Generator.load(tmp_path)


def test_a_generator_learns_and_shows_what_it_does(faces: Path, tmp_path: Path) -> None:
    config = replace(GENERATOR, epochs=8, lr=0.02)
    result = train_reconstruction(faces, tmp_path, config, machine=MACHINE)
    assert result is not None
    # SSIM of the hidden part: black has next to none.
    ssim = {who: result[who][1]["value"] for who in ("made", "repeated")}
    assert ssim["made"] > ssim["repeated"]
    assert result["n_images"] == 5
    sheets = sorted((tmp_path / "samples").glob("*.png"))
    assert len(sheets) == config.epochs
    # Three columns of 32 pixels, five faces of the one person of the validation.
    with PillowImage.open(sheets[-1]) as sheet:
        assert sheet.size == (3 * 34 - 2, 5 * 34 - 2)
    # What is read again is the network that was measured.
    generator = Generator.load(tmp_path)
    assert generator.card["measures"] == result["made"]
