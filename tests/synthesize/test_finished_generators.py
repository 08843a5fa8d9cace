# SPDX-License-Identifier: Apache-2.0
"""Folders of generators at their end: what is left of clear faces, what is shown and refused."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from typer.testing import CliRunner, Result

from tests.synthesize.small_generators import CONFIG, MACHINE, TRAINING, train
from tests.synthesize.small_trainings import CLASSIFIER, GENERATOR
from veilset.cli.app import app
from veilset.cli.synthesize import _told
from veilset.cli.synthesize_talk import EXIT_STOPPED
from veilset.errors import AnnotationError, ConfigError, DatasetError, RunError
from veilset.networks.face_generator import FaceGenerator
from veilset.synthesize import generating, inpainting_training
from veilset.synthesize.attribute_training import train_attributes
from veilset.synthesize.faces_file import FacesFile
from veilset.synthesize.generating import GALLERY, RESULT, train_generator
from veilset.synthesize.inpainting_losses import nearness_loss
from veilset.synthesize.inpainting_measures import (
    LPIPS,
    Compared,
    as_json,
    compare_faces,
    measure_generator,
)
from veilset.synthesize.inpainting_training import train_inpainter
from veilset.synthesize.model_card import _table
from veilset.synthesize.prepared import TEST, TRAIN, VAL, PreparedFaces
from veilset.synthesize.reconstruction_training import train_reconstruction
from veilset.synthesize.training import Habits
from veilset.synthesize.views_file import ViewsFile
from veilset.types import Measurement

PRIVATE = ("views", "training/samples")


def copied(whole: Path, tmp_path: Path) -> Path:
    """Give a finished folder with its clear faces, as one that was killed before they went."""
    return Path(shutil.copytree(whole, tmp_path / "out"))


@pytest.mark.parametrize("keep_private", [False, True])
def test_finished_it_gives_what_is_there_and_deletes_clear_faces(
    source: Path, whole: Path, tmp_path: Path, keep_private: bool
) -> None:
    out = copied(whole, tmp_path)
    # Killed while it deletes: a part is left.
    shutil.rmtree(out / "views" / "table")
    before = (out / RESULT).stat().st_mtime_ns
    again = train(source, out, keep_private=keep_private)
    assert again == json.loads((whole / RESULT).read_bytes())
    assert (out / RESULT).stat().st_mtime_ns == before
    assert [(out / name).exists() for name in PRIVATE] == [keep_private] * 2
    assert (out / "generator.onnx").exists()


def test_lpips_cannot_be_had_of_what_is_finished(source: Path, whole: Path, tmp_path: Path) -> None:
    out, weights = copied(whole, tmp_path), tmp_path / "alexnet.pth"
    with pytest.raises(ConfigError, match=r"LPIPS was not measured. Delete .*result\.json"):
        train(source, out, alexnet=weights)
    # The same command again, where it was measured.
    found = json.loads((out / RESULT).read_bytes())
    found["measures"]["synthesize"].append({"name": LPIPS})
    (out / RESULT).write_text(json.dumps(found))
    assert train(source, out, alexnet=weights) == found


@pytest.mark.parametrize("text", ["", "{", "[]", "{}"])
def test_a_damaged_result_is_named_with_what_to_do(
    source: Path, whole: Path, tmp_path: Path, text: str
) -> None:
    out = copied(whole, tmp_path)
    (out / RESULT).write_text(text)
    with pytest.raises(RunError, match=r"result\.json is damaged: .* Or delete it, and run again"):
        train(source, out)
    (out / "started.json").write_text(text or "[")
    with pytest.raises(RunError, match=r"started\.json is damaged: |Cannot go on with"):
        train(source, out)


def test_an_interval_that_does_not_exist_is_told_so() -> None:
    alone = Measurement("SSIM", 0.5, -math.inf, math.inf, 1)
    measured = as_json({"synthesize": [alone]})
    (told,) = measured["synthesize"]
    assert (told["low"], told["high"], told["n"]) == (None, None, 1)
    assert "| SSIM | 0.500 (no interval, n = 1) |" in _table(measured)
    text = "0.5000, no interval, n = 1"
    assert _told(told) == _told(asdict(alone)) == text


def test_without_a_result_it_is_measured_again_and_not_trained(
    source: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the message promises, after the clear faces were deleted."""
    out = copied(whole, tmp_path)
    shutil.rmtree(out / "views")
    (out / RESULT).unlink()
    monkeypatch.setattr(inpainting_training, "Trainer", None)
    assert train(source, out) == json.loads((whole / RESULT).read_bytes())


def test_the_gallery_shows_what_was_seen(tmp_path: Path) -> None:
    forms = {name: [np.full((64, 64, 3), level, np.uint8)] * 3 for name, level in LEVELS.items()}
    compared = Compared(
        np.arange(3), {name: forms[name] for name in ("clear", "synthesize")}, forms["seen"],
        [np.ones((64, 64), bool)] * 3, [(0, 0, 1, 1)] * 3,
    )  # fmt: skip
    generating._write_gallery(tmp_path / GALLERY, compared)
    with PillowImage.open(tmp_path / GALLERY) as sheet:
        row = np.asarray(sheet)[32, 32::66, 0]
    assert row.tolist() == list(LEVELS.values()) * 3


LEVELS = {"clear": 10, "seen": 20, "synthesize": 30}


def test_of_one_face_there_is_no_distance_between_sets(whole: Path, views: ViewsFile) -> None:
    compared = compare_faces(FaceGenerator.load(whole), views, views.rows(TEST)[:1])
    found = measure_generator(compared, views)
    for rows in found.values():
        assert not [each.name for each in rows if "distance" in each.name]
        # One person who was found, or not, says little of the others.
        assert rows[0].high - rows[0].low > 0.7


@pytest.mark.parametrize("split", [TRAIN, VAL, TEST])
@pytest.mark.parametrize("kind", ["inpainting", "reconstruction", "attributes"])
def test_without_faces_for_a_split_nothing_is_trained(
    split: str, kind: str, views: ViewsFile, faces: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def without(data: Any) -> Any:
        other = VAL if split == TRAIN else TRAIN
        return replace(data, splits=np.where(data.splits == split, other, data.splits))

    trainings: dict[str, Callable[[Path, Path], object]] = {
        "inpainting": lambda data, out: train_inpainter(data, out, TRAINING, machine=MACHINE),
        "reconstruction": lambda data, out: train_reconstruction(
            data, out, GENERATOR, machine=MACHINE
        ),
        "attributes": lambda data, out: train_attributes(data, out, CLASSIFIER, machine=MACHINE),
    }
    data: PreparedFaces = views if kind == "inpainting" else FacesFile.open(faces)
    monkeypatch.setattr(type(data), "open", lambda _: without(data))
    with pytest.raises(DatasetError, match=rf"no face to .*{split} 0.*more people"):
        trainings[kind](data.folder, tmp_path / "out")
    assert not (tmp_path / "out" / "log.jsonl").exists()


@pytest.mark.parametrize("name", ["card.md", "views", "training"])
def test_a_folder_with_something_else_in_it_is_left_alone(
    name: str, source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    (out / name).mkdir(parents=True)
    (out / name / "mine.txt").write_text("mine")
    with pytest.raises(RunError, match=f"is not empty.*{name}"):
        train(source, out)
    assert (out / name / "mine.txt").read_text() == "mine"
    assert not (out / "started.json").exists()


def test_a_file_in_place_of_the_folder_is_told_as_that(source: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = run_command(source, tmp_path / "file")
    assert f"{tmp_path / 'file'} is a file, and a folder is needed" in str(found.exception)


@pytest.mark.parametrize("learn", [train_reconstruction, train_attributes])
def test_so_do_the_trainings_of_the_report(
    learn: Callable[..., object], faces: Path, tmp_path: Path
) -> None:
    (tmp_path / "result.json").write_text("mine")
    config = GENERATOR if learn is train_reconstruction else CLASSIFIER
    with pytest.raises(RunError, match=r"is not empty.*result\.json"):
        learn(faces, tmp_path, config, machine=MACHINE)
    assert (tmp_path / "result.json").read_text() == "mine"


def test_identities_that_cannot_be_read_are_told_at_once(source: Path, tmp_path: Path) -> None:
    for wrong in (tmp_path / "absent.txt", source):
        with pytest.raises(AnnotationError, match=f"{wrong} cannot be read"):
            train_generator(
                source / "photos", source / "boxes", tmp_path / "out", CONFIG, identities=wrong
            )
    assert not (tmp_path / "out").exists()


def test_what_cannot_be_trained_or_measured_is_told_before_faces_are_cut(
    source: Path, tmp_path: Path
) -> None:
    given = (source / "photos", source / "boxes", tmp_path / "out")
    with pytest.raises(ConfigError, match=r"Widths of \(8,\) with 1 blocks make no network"):
        train_generator(*given, replace(CONFIG, training=replace(TRAINING, widths=(8,))))
    with pytest.raises(ConfigError, match=r"absent\.pth cannot be read"):
        train_generator(*given, CONFIG, alexnet=tmp_path / "absent.pth")
    assert not (tmp_path / "out").exists()


def test_names_of_no_photograph_are_counted(source: Path, tmp_path: Path) -> None:
    said: list[str] = []
    people = tmp_path / "people.txt"
    mark = "\ufeff"
    names = [path.name for path in sorted((source / "photos").iterdir())]
    lines = [f"{name} {at}" for at, name in enumerate([*names, "absent.png"])]
    people.write_text(mark + "\n".join(lines), "utf-8")

    def stop(text: str) -> None:
        said.append(text)
        if "trained" in text:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        train_generator(
            source / "photos", source / "boxes", tmp_path / "out", CONFIG, identities=people,
            on_step=stop,
        )  # fmt: skip
    n = len(names)
    assert f"1 names in {people} are of no photograph; of {n} photographs {n} are named" in said[1]


def test_a_folder_among_the_photographs_is_refused(source: Path) -> None:
    with pytest.raises(DatasetError, match="lie in each other"):
        train(source, source / "photos" / "generator")


def test_a_loss_that_is_no_number_is_refused_with_what_the_command_has(
    views: ViewsFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(*given: Any) -> Any:
        away, unlike = nearness_loss(*given)
        return away * float("nan"), unlike

    monkeypatch.setattr(inpainting_training, "nearness_loss", spoilt)
    with pytest.raises(RunError, match=r"'l1' .* became nan by .* into another folder.*--batch"):
        train_inpainter(views.folder, tmp_path, TRAINING, machine=MACHINE)


def test_the_log_says_which_way_a_number_gets_better(whole: Path, trained: Path) -> None:
    for folder in (whole / "training", trained):
        lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
        assert all("one_minus_ssim" in line["losses"] for line in lines if "losses" in line)
        assert all("ssim" in line["validation"] for line in lines if "validation" in line)
        assert not any("ssim" in line.get("losses", ()) for line in lines)


def run_command(source: Path, out: Path) -> Result:
    words = [
        "synthesize", "train", source / "photos", "-a", source / "boxes", "-o", out,
        "--side", CONFIG.views.side_px, "--widths", "8,8,16", "--epochs", 1, "--batch", 2,
        "--threads", 1, "--workers", 1, "--quiet",
    ]  # fmt: skip
    return CliRunner().invoke(app, list(map(str, words)))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("place", ["prepare_views", "_finish"])
def test_signals_are_not_swallowed_where_nothing_asks_for_them(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    place: str,
    number: signal.Signals,
) -> None:
    """While faces are cut out and while they are measured a process ends as ever."""
    before, heard = signal.getsignal(number), []

    def listen(*_: object, **__: object) -> None:
        heard.append(signal.getsignal(number))
        raise KeyboardInterrupt

    if place == "_finish":
        monkeypatch.setattr(generating, "train_inpainter", lambda *_, **__: True)
    monkeypatch.setattr(generating, place, listen)
    found = run_command(source, tmp_path / "out")
    assert heard == [before]
    assert found.exit_code != 0
    assert "with a checkpoint" not in found.output


def test_a_signal_in_the_training_ends_it_with_a_checkpoint(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = inpainting_training._Learner.step

    def interrupted(*given: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return step(*given)

    monkeypatch.setattr(inpainting_training._Learner, "step", interrupted)
    found = run_command(source, tmp_path / "out")
    assert found.exit_code == EXIT_STOPPED
    assert "stopped, with a checkpoint" in found.stderr
    assert (tmp_path / "out" / "training" / "checkpoint.json").exists()


def test_stopped_at_the_last_step_it_is_not_measured_yet(
    source: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = copied(whole, tmp_path)
    (out / RESULT).unlink()
    monkeypatch.setattr(generating, "_finish", None)
    assert train(source, out, habits=Habits(should_stop=lambda: True)) is None
    assert (out / "views").exists()
