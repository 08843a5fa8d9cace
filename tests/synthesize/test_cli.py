# SPDX-License-Identifier: Apache-2.0
"""``veilset synthesize``: trainings that are stopped go on, and files that fit each other."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from veilset.cli.app import app
from veilset.cli.synthesize import _say_selection
from veilset.cli.synthesize_talk import EXIT_STOPPED, TrainingLine
from veilset.errors import ConfigError, RunError
from veilset.synthesize.closeness import mutual_information
from veilset.synthesize.reconstruction_training import WIDTHS
from veilset.synthesize.training import TrainingProgress


@pytest.fixture(autouse=True)
def tiny_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(WIDTHS, "small", ((4, 6), (6, 4)))


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, ["synthesize", *map(str, words)])


def test_a_classifier_is_trained(faces: Path, tmp_path: Path) -> None:
    words = ("train-attributes", faces, "-o", tmp_path / "classifier", "--network", "small")
    found = run(*words, "--epochs", "1", "--train-on", "cpu", "--threads", "1", "--json")
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["n_people"] >= 1
    assert "mean accuracy" in found.stderr
    assert "of the commonest answers" in found.stderr


def test_a_generator_that_was_stopped_goes_on_and_is_exported(
    faces: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (
        "train-reconstruction", faces, "-o", tmp_path / "generator", "--network", "small",
        "--epochs", "1", "--batch", "8", "--train-on", "cpu", "--threads", "1",
    )  # fmt: skip
    trained = TrainingLine.trained

    def interrupt(line: TrainingLine, progress: TrainingProgress) -> None:
        trained(line, progress)
        os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(TrainingLine, "trained", interrupt)
    found = run(*words)
    assert found.exit_code == EXIT_STOPPED
    assert "stopped, with a checkpoint" in found.stderr
    monkeypatch.undo()
    monkeypatch.setitem(WIDTHS, "small", ((4, 6), (6, 4)))
    found = run(*words)
    assert found.exit_code == 0, found.output
    assert "SSIM of the hidden part, the mean face: " in found.stderr
    found = run("export", tmp_path / "generator")
    assert found.stdout.strip() == str(tmp_path / "generator" / "generator.onnx")
    assert "ONNX Runtime differs from PyTorch by at most" in found.stderr
    # Its own place is written again, a file of the user's is not.
    assert run("export", tmp_path / "generator").exit_code == 0
    (tmp_path / "mine.txt").write_text("mine")
    found = run("export", tmp_path / "generator", "-o", tmp_path / "mine.txt")
    assert isinstance(found.exception, RunError)
    assert "mine.txt is there already" in str(found.exception)
    assert (tmp_path / "mine.txt").read_text() == "mine"


def test_the_time_left_is_that_of_the_training_at_hand(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Trainings of an ablation follow each other under one name, each from its first step.
    now_s = 0.0
    monkeypatch.setattr("veilset.cli.synthesize_talk.time.monotonic", lambda: now_s)
    line = TrainingLine(quiet=False)
    for step in (1, 2, 3, 1, 2):
        now_s += 600.0
        line.trained(TrainingProgress("the generator", step, 3, 1, {}))
    last = capsys.readouterr().err.splitlines()[-1]
    assert "step 2 of 3" in last
    assert last.endswith(", 0:10 h left")


def test_what_cannot_be_chosen_is_named(tmp_path: Path) -> None:
    place = ("photos", "-a", "boxes", "-o", tmp_path / "out", "--classifier", "none")
    for words, message in (
        (("select", *place, "--select", "some"), "no way to select 'some'. Choose: fixed-four,"),
        (("train-reconstruction", tmp_path, "-o", "x", "--network", "big"), "no network 'big'"),
        (("train-reconstruction", tmp_path, "-o", "x", "--loss", "l3"), "no loss 'l3'"),
    ):
        found = run(*words)
        assert isinstance(found.exception, ConfigError)
        assert message in str(found.exception)


@pytest.mark.parametrize(
    "words",
    [
        "prepare photos -o out --attributes a --identities b",
        "train photos -a boxes -o out",
        "train-attributes faces -o out",
        "train-reconstruction faces -o out",
        "ablation faces -o out",
        "select photos -a boxes -o out --classifier none",
    ],
)
def test_a_seed_or_a_number_of_threads_that_no_machine_takes_is_named(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for seed in (-1, 2**63, 10**40):
        found = run(*words.split(), f"--seed={seed}")
        assert isinstance(found.exception, ConfigError)
        assert f"The seed {seed} cannot be used." in str(found.exception)
    if "train" in words or "ablation" in words:
        for threads in (-1, 0, 1025, 10**12):
            found = run(*words.split(), f"--threads={threads}")
            assert isinstance(found.exception, ConfigError)
            assert f"There cannot be {threads} threads. Give 1 to 1024" in str(found.exception)
    assert not list(tmp_path.iterdir())


def test_the_unit_of_an_estimate_stands_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    old = [0, 1] * 10 + [0]
    found = asdict(mutual_information(old, old))
    told = {"way": "all", "n_edits": 21, "n_faces": 21, "editable": ["Young"]}
    _say_selection(told | {"mutual_information": {"Young": found}})
    said = capsys.readouterr().err
    assert "Young tells the most of the old: 0.9984 bit [" in said
    assert said.rstrip().endswith("], n = 21")
