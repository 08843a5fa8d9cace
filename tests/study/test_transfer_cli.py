# SPDX-License-Identifier: Apache-2.0
"""The command ``study transfer``: exit status, what is printed, and that it goes on."""

from __future__ import annotations

import json
from pathlib import Path

from tests.flow.command import command
from tests.study.drawn_study_runs import finish_runs
from tests.study.drawn_transfer import draw_celeba, draw_cifar
from veilset.files import sha256_file
from veilset.study.layout import StudyPaths
from veilset.study.transferred import read_score, transfer_tables
from veilset.study.yaml_file import read_study

STUDY = """\
format: veilset-study/1
settings:
  original: {root: original}
  blurred: {root: blurred}
networks:
  - {name: tiny, source: timm, model: resnet18,
     arguments: {layers: [1, 1, 1, 1], channels: [8, 8, 16, 16]}}
seeds: [1]
transfer:
  - {task: cifar10, root: cifar, networks: [tiny], sample: true, recipe: RECIPE}
  - {task: celeba, root: celeba, networks: [tiny], from: [original, none], sample: true,
     lr_grid: [0.1], recipe: RECIPE}
""".replace("RECIPE", "{epochs: 1, batch_size: 16, train_size: 32, eval_resize: 36, eval_crop: 32}")


def _study(tmp_path: Path) -> Path:
    draw_cifar(tmp_path / "cifar")
    draw_celeba(tmp_path / "celeba")
    path = tmp_path / "study.yaml"
    path.write_text(STUDY)
    return path


def test_from_trained_networks_to_scores(tmp_path: Path) -> None:
    path = _study(tmp_path)
    config = read_study(path)
    finish_runs(config, settings=("original",))
    first = command("study", "transfer", path, "--devices", "cpu", "--task", "cifar10", code=3)
    assert first.stdout.strip() == str(config.out / "transfer")
    assert "cifar10/tiny.blurred.s1: not trained" in first.stderr
    assert "Run 'veilset study run' first" in first.stderr
    assert "3 planned, 2 done, 0 failed, 1 not trained, 0 left" in first.stderr

    finish_runs(config, settings=("blurred",))
    second = command("study", "transfer", path, "--devices", "cpu", "--json", "-q")
    counts = json.loads(second.stdout)["counts"]
    assert counts == {"planned": 5, "done": 5, "failed": 0, "not_trained": 0, "left": 0}
    scores = sorted(StudyPaths(config.out).folder.glob("transfer/*/*/score.json"))
    assert [score.parent.relative_to(config.out).as_posix() for score in scores] == [
        "transfer/celeba/tiny.none.s1",
        "transfer/celeba/tiny.original.s1",
        "transfer/cifar10/tiny.blurred.s1",
        "transfer/cifar10/tiny.none.s1",
        "transfer/cifar10/tiny.original.s1",
    ]
    assert [json.loads(score.read_text())["lr"] for score in scores] == [0.1, 0.1, 0.01, 0.01, 0.01]
    # What evaluation makes of them.
    tables = transfer_tables(
        [read_score(score) for score in scores], ("none", "original", "blurred"), ddof=1,
        is_ilsvrc=False,
    )  # fmt: skip
    assert [table.name for table in tables][:2] == ["table_5", "table_6"]
    before = [score.stat().st_mtime_ns for score in scores]
    command("study", "transfer", path, "--devices", "cpu")
    assert [score.stat().st_mtime_ns for score in scores] == before


def test_two_processes_share_the_list_and_each_run_is_told_once(tmp_path: Path) -> None:
    digests = []
    for name, options in (("alone", ()), ("together", ("--processes", "2"))):
        (tmp_path / name).mkdir()
        path = _study(tmp_path / name)
        config = read_study(path)
        finish_runs(config)
        weights = StudyPaths(config.out).run("tiny.blurred.s1") / "weights.safetensors"
        whole = weights.read_bytes()
        weights.write_bytes(whole[:-1])
        for expected, more, code in ((4, (), 3), (5, ("--retry-failed",), 0)):
            ended = command(
                "study", "transfer", path, "--devices", "cpu", *options, *more, code=code
            )
            assert f"5 planned, {expected} done, {5 - expected} failed, 0 not" in ended.stderr
            assert ended.stderr.count("tiny.blurred.s1 failed: ") == 5 - expected
            weights.write_bytes(whole)
        tables = config.out.glob("transfer/*/*/predictions.parquet")
        digests.append({path.relative_to(config.out): sha256_file(path) for path in tables})
    assert digests[0] == digests[1]
    assert len(digests[0]) == 5


def test_no_time_leaves_all_for_later(tmp_path: Path) -> None:
    path = _study(tmp_path)
    finish_runs(read_study(path))
    ended = command("study", "transfer", path, "--devices", "cpu", "--stop-after", "0s", code=3)
    assert "5 planned, 0 done, 0 failed, 0 not trained, 5 left" in ended.stderr
    command("study", "transfer", path, "--devices", "cpu")


def test_a_missing_file_and_a_wrong_task_end_with_1(tmp_path: Path) -> None:
    path = _study(tmp_path)
    (tmp_path / "celeba/list_eval_partition.txt").unlink()
    ended = command("study", "transfer", path, "--devices", "cpu", code=1)
    assert "list_eval_partition.txt is missing" in ended.stderr
    ended = command("study", "transfer", path, "--task", "sun397", code=1)
    assert "asks for: cifar10, celeba" in ended.stderr
