# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning from end to end on drawn data sets: scores, resume, and what stops a run."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from sklearn.metrics import average_precision_score

from tests.study.drawn_study_runs import TINY, drawn_study, finish_runs
from tests.study.drawn_transfer import draw_celeba, draw_cifar, draw_sun
from veilset.errors import ConfigError, DatasetError, ResumeMismatchError
from veilset.files import sha256_file
from veilset.study.claims import claim
from veilset.study.config import NONE, StudyConfig, TransferSpec
from veilset.study.layout import StudyPaths, read_predictions
from veilset.study.transfer import work
from veilset.study.transfer.finetune import finetune
from veilset.study.transfer.stage import (
    TransferOptions,
    TransferSummary,
    transfer,
    transfer_on_devices,
)
from veilset.study.transfer.starts import find_start, with_new_head
from veilset.study.transfer.tasks import open_picture_task
from veilset.study.transfer.work import Ending

SMALL = {
    "epochs": 1, "batch_size": 16, "train_size": 32, "eval_resize": 36, "eval_crop": 32,
    "step_epochs": 1,
}  # fmt: skip


def _spec(task: str, root: Path, **changes: Any) -> TransferSpec:
    spec = TransferSpec(
        task, root, (TINY.name,), ("original", "blurred", NONE), (1, 2), SMALL, sample=True
    )
    return replace(spec, **changes)


def _transfer(config: StudyConfig, **options: Any) -> TransferSummary:
    return transfer_on_devices(config, TransferOptions(**options), ("cpu",))


def _score(config: StudyConfig, task: str, run_id: str) -> dict[str, Any]:
    path = StudyPaths(config.out).transfer(task, run_id) / "score.json"
    return dict(json.loads(path.read_text()))


def test_three_tasks_from_end_to_end(tmp_path: Path) -> None:
    config = drawn_study(
        tmp_path,
        *(
            _spec(task, draw(tmp_path / task), sources=("blurred", NONE), seeds=(2,))
            for task, draw in (
                ("cifar10", draw_cifar),
                ("sun397", draw_sun),
                ("celeba", draw_celeba),
            )
        ),
    )
    finish_runs(config)
    summary = _transfer(config)
    assert summary.is_complete
    assert summary.counts == {task: {Ending.DONE: 2} for task in ("cifar10", "sun397", "celeba")}
    for task, n_images in (("cifar10", 10), ("sun397", 12)):
        folder = StudyPaths(config.out).transfer(task, "tiny.blurred.s2")
        found = read_predictions(
            folder / "predictions.parquet",
            {"weights_sha256": sha256_file(folder / "weights.safetensors")},
        )
        score = _score(config, task, "tiny.blurred.s2")
        assert score["predictions_sha256"] == sha256_file(folder / "predictions.parquet")
        assert score["metrics"]["top1"] == (found.top[:, 0] == found.labels).mean()
        assert score["counts"] == {"n_images": n_images}
        assert (score["from"], score["seed"], score["network"]) == ("blurred", 2, "tiny")
        assert found.scores is not None
        assert found.scores.argmax(1).tolist() == found.top[:, 0].tolist()
        assert not list(folder.glob("checkpoint*"))
    table = pq.read_table(
        StudyPaths(config.out).transfer("celeba", "tiny.none.s2") / "predictions.parquet"
    ).to_pydict()
    marks, scores = np.array(table["labels"]), np.array(table["scores"])
    expected = [average_precision_score(marks[:, a], scores[:, a]) for a in range(4)]
    score = _score(config, "celeba", "tiny.none.s2")
    assert score["metrics"]["mAP"] == pytest.approx(np.mean(expected), abs=1e-7)
    # The last attribute never occurs.
    assert score["counts"] == {"n_images": 8, "n_attributes": 4}


def _cifar_study(tmp_path: Path, **changes: Any) -> StudyConfig:
    root = tmp_path / "cifar"
    spec = _spec("cifar10", root if root.exists() else draw_cifar(root), **changes)
    config = drawn_study(tmp_path, spec)
    if not config.out.exists():
        finish_runs(config)
    return config


ONE = {"sources": ("original",), "seeds": (1,)}


def test_stopped_twice_gives_the_same_weights(tmp_path: Path) -> None:
    whole = _cifar_study(tmp_path / "whole", **ONE)
    assert _transfer(whole).is_complete
    parts = _cifar_study(tmp_path / "parts", **ONE)
    steps: list[int] = []
    for stop in (1, 2):
        summary = _transfer_until(parts, steps, stop)
        assert summary.total(Ending.STOPPED) == 1
        assert not summary.is_complete
    assert _transfer(parts).is_complete
    assert steps == [1, 2]
    digests = [
        sha256_file(StudyPaths(config.out).transfer("cifar10", "tiny.original.s1") / name)
        for config in (whole, parts)
        for name in ("weights.safetensors", "predictions.parquet")
    ]
    assert digests[:2] == digests[2:]


def test_what_is_done_is_not_taken_for_something_else(tmp_path: Path) -> None:
    config = _cifar_study(tmp_path, **ONE, lr_grid=(0.001, 0.01))
    assert _transfer(config).is_complete
    paths = StudyPaths(config.out)
    folder = paths.transfer("cifar10", "tiny.original.s1")
    for path in (
        folder / "started.json",
        folder / "run.json",
        *folder.parent.glob("tuning/*/*.json"),
    ):
        # As if it came from a machine with a GPU.
        path.write_text(path.read_text().replace('"device_kind": "cpu"', '"device_kind": "cuda"'))
    assert _transfer(config).counts == {"cifar10": {Ending.DONE: 1}}
    spec = config.transfer[0]
    changed = replace(config, transfer=(replace(spec, recipe=SMALL | {"epochs": 2}),))
    with pytest.raises(ResumeMismatchError, match=r"lr in tiny\.original: recipe\.epochs changed"):
        _transfer(changed)
    shutil.rmtree(paths.run("tiny.original.s1"))
    assert _transfer(config).counts == {"cifar10": {Ending.NOT_TRAINED: 1}}
    for run_id in ("tiny.original.s2", "tiny.blurred.s1", "tiny.blurred.s2"):
        shutil.rmtree(paths.run(run_id))
    finish_runs(config, settings=("blurred", "original"))
    with pytest.raises(ResumeMismatchError, match="from_weights_sha256 changed"):
        _transfer(config)


def test_damaged_weights_are_not_started_from(tmp_path: Path) -> None:
    config = _cifar_study(tmp_path, **ONE)
    weights = StudyPaths(config.out).run("tiny.original.s1") / "weights.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    told: list[str] = []
    _transfer(config, on_ending=lambda _name, _ending, why: told.append(why))
    assert "does not hold the weights that the run ended with" in told[0]
    weights.unlink()
    _transfer(config, on_ending=lambda _name, _ending, why: told.append(why), retry_failed=True)
    assert "is missing, though the run is finished" in told[1]


def test_the_start_is_the_trained_network_with_a_new_head(tmp_path: Path) -> None:
    config = _cifar_study(tmp_path)
    paths = StudyPaths(config.out)
    starts = [find_start(paths, TINY, source, 1) for source in ("original", "blurred", NONE)]
    before = torch.get_rng_state()
    modules = [with_new_head(start, "cifar10", 10) for start in starts if start]
    assert torch.equal(torch.get_rng_state(), before)
    original, blurred, none = (dict(module.state_dict()) for module in modules)
    assert original["fc.weight"].shape == (10, 16)
    # The same head whatever the rest was trained on; other settings, other weights.
    assert torch.equal(original["fc.weight"], blurred["fc.weight"])
    assert not torch.equal(original["conv1.weight"], blurred["conv1.weight"])
    assert not torch.equal(original["conv1.weight"], none["conv1.weight"])
    assert find_start(paths, TINY, "original", 3) is None


def test_the_rate_is_chosen_on_pictures_that_are_not_tested_with(tmp_path: Path) -> None:
    config = _cifar_study(tmp_path, lr_grid=(1e-9, 0.01, 1e9))
    task = open_picture_task(config.transfer[0])
    part = task.held_out()
    train, held = set(part.train.image_ids), set(part.test.image_ids)
    assert train | held == set(task.train.image_ids)
    assert not train & held
    # Four pictures a class: one of each.
    assert sorted(part.test.labels.tolist()) == list(range(10))
    assert part.digests() == task.held_out().digests()

    assert _transfer(config, only="*.[bn]*.s*").counts == {"cifar10": {Ending.DONE: 4}}
    tuning = StudyPaths(config.out).transfer("cifar10", "tuning")
    assert sorted(each.name for each in tuning.iterdir()) == ["tiny.none", "tiny.original"]
    for source, name in (("blurred", "original"), (NONE, NONE)):
        chosen = json.loads((tuning / f"tiny.{name}" / "tuning.json").read_text())
        scores = {row["lr"]: row["score"] for row in chosen["scores"]}
        assert scores[1e9] is None
        best = max(score for score in scores.values() if score is not None)
        assert scores[chosen["lr"]] == best
        assert {_score(config, "cifar10", f"tiny.{source}.s{s}")["lr"] for s in (1, 2)} == {
            chosen["lr"]
        }


def _transfer_until(config: StudyConfig, done: list[int], n_steps: int) -> TransferSummary:
    options = TransferOptions(device="cpu", on_progress=lambda progress: done.append(progress.step))
    return transfer(config, options, lambda: len(done) >= n_steps)


def test_a_choice_that_was_stopped_goes_on(tmp_path: Path) -> None:
    chosen = []
    # Two steps for each of two rates; the fifth would be of the fine-tuning itself.
    for name, stops in (("whole", ()), ("parts", (1, 2, 3, 4))):
        config = _cifar_study(tmp_path / name, **ONE, lr_grid=(0.001, 0.01))
        done: list[int] = []
        for stop in stops:
            assert _transfer_until(config, done, stop).total(Ending.STOPPED) == 1
            assert len(done) == stop
        assert _transfer(config).is_complete
        tuning = StudyPaths(config.out).transfer("cifar10", "tuning") / "tiny.original"
        chosen.append((tuning / "tuning.json").read_text())
        assert not list(tuning.glob("*/checkpoint*"))
    assert chosen[0] == chosen[1]


def test_a_rate_that_never_works_is_a_failure_that_is_told(tmp_path: Path) -> None:
    config = _cifar_study(tmp_path, **ONE, lr_grid=(1e9, 1e10))
    told: list[tuple[str, Ending, str]] = []
    summary = _transfer(config, on_ending=lambda *what: told.append(what))
    assert not summary.is_complete
    ((name, ending, why),) = told
    assert (name, ending) == ("cifar10/tiny.original.s1", Ending.FAILED)
    assert "with no rate of lr_grid the loss stays finite" in why


def test_infinite_loss_fails_one_run_and_is_retried_only_if_asked(tmp_path: Path) -> None:
    config = _cifar_study(tmp_path, sources=("original",), recipe=SMALL | {"lr": 1e9})
    assert _transfer(config).counts == {"cifar10": {Ending.FAILED: 2}}
    folder = StudyPaths(config.out).transfer("cifar10", "tiny.original.s1")
    failure = json.loads((folder / "failure.json").read_text())
    assert failure["kind"] == "nan-loss"
    assert not (folder / "score.json").exists()
    told: list[str] = []
    _transfer(config, on_ending=lambda _name, _ending, why: told.append(why), only="*.s1")
    assert told == [failure["message"]]
    mended = _cifar_study(tmp_path, sources=("original",))
    with pytest.raises(ResumeMismatchError, match=r"tiny\.original\.s1: recipe\.lr changed"):
        _transfer(mended, retry_failed=True)


def test_a_damaged_picture_stops_the_run_that_needs_it(tmp_path: Path) -> None:
    root = draw_sun(tmp_path / "sun")
    (root / "a/abbey/sun_0001.jpg").write_bytes(b"no picture")
    config = drawn_study(tmp_path, _spec("sun397", root, **ONE))
    finish_runs(config)
    told: list[str] = []
    summary = _transfer(config, on_ending=lambda _n, _e, why: told.append(why))
    assert summary.counts == {"sun397": {Ending.FAILED: 1}}
    assert "SUN397/a/abbey/sun_0001.jpg" in told[0]


@pytest.mark.parametrize("claimed", ["tiny.none.s1", "tuning/tiny.none"])
def test_untrained_and_claimed_runs_are_counted(tmp_path: Path, claimed: str) -> None:
    rates = (0.001, 0.01) if "/" in claimed else ()
    root = draw_cifar(tmp_path / "cifar")
    config = drawn_study(tmp_path, _spec("cifar10", root, seeds=(1,), lr_grid=rates))
    finish_runs(config, settings=("original",))
    elsewhere = claim(StudyPaths(config.out).transfer("cifar10", claimed))
    assert elsewhere is not None
    with elsewhere:
        summary = _transfer(config)
    expected = {"planned": 3, "done": 1, "failed": 0, "not_trained": 1, "left": 1}
    assert summary.totals() == expected
    assert not summary.is_complete
    assert _transfer(config).counts == {"cifar10": {Ending.DONE: 2, Ending.NOT_TRAINED: 1}}


def test_nothing_is_trained_before_all_data_sets_are_whole(tmp_path: Path) -> None:
    config = drawn_study(
        tmp_path,
        _spec("cifar10", draw_cifar(tmp_path / "cifar")),
        _spec("sun397", tmp_path / "nowhere"),
    )
    finish_runs(config)
    with pytest.raises(DatasetError, match=r"ClassName\.txt is missing"):
        _transfer(config)
    assert not (config.out / "transfer").exists()


def test_what_cannot_be_asked_for(tmp_path: Path) -> None:
    config = _cifar_study(tmp_path)
    with pytest.raises(ConfigError, match=r"no transfer to 'celeba'.*asks for: cifar10"):
        _transfer(config, task="celeba")
    with pytest.raises(ConfigError, match=r"named 'x\*'; the first is tiny\.original\.s1"):
        _transfer(config, only="x*")
    with pytest.raises(ConfigError, match="Add a task under 'transfer'"):
        _transfer(replace(config, transfer=()))


@pytest.mark.parametrize(
    ("error", "kind", "message"),
    [
        (MemoryError("12 GB"), "memory", r"does not fit into the memory of cpu \(12 GB\)"),
        (IndexError("a\nb"), "error", r"^cifar10/tiny\.original\.s1: IndexError: a$"),
    ],
)
def test_what_breaks_down_is_recorded_and_the_next_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, kind: str, message: str
) -> None:
    config = _cifar_study(tmp_path, sources=("original",))

    def break_first(*arguments: Any) -> bool:
        if arguments[1].seed == 1:
            raise error
        return finetune(*arguments)

    monkeypatch.setattr(work, "finetune", break_first)
    assert _transfer(config).counts == {"cifar10": {Ending.FAILED: 1, Ending.DONE: 1}}
    folder = StudyPaths(config.out).transfer("cifar10", "tiny.original.s1")
    failure = json.loads((folder / "failure.json").read_text())
    assert failure["kind"] == kind
    assert re.search(message, failure["message"])
    monkeypatch.undo()
    assert _transfer(config, retry_failed=True).is_complete
    assert not (folder / "failure.json").exists()
