# SPDX-License-Identifier: Apache-2.0
"""The plan of a study: its order, what may be added, and what may not change."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.study.drawn_finished import draw_finished
from tests.study.drawn_study import TEXT, draw_study
from veilset.cli.app import app
from veilset.errors import AnnotationError, ResumeMismatchError, RunError
from veilset.study.layout import Predictions, read_predictions, write_predictions
from veilset.study.opening import load_study, open_study
from veilset.study.stage import plan_study
from veilset.study.yaml_file import read_study


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_study(tmp_path_factory.mktemp("study"))


@pytest.fixture
def yaml_file(drawn: Path, tmp_path: Path) -> Path:
    """The drawn study with an output folder of its own."""
    path = drawn.with_name(f"{tmp_path.name}.yaml")
    path.write_text(f"{TEXT}out: {tmp_path / 'out'}\n")
    return path


def begin(study_out: Path, run_id: str) -> None:
    (study_out / "runs" / run_id).mkdir(parents=True)


def test_runs_are_ordered_by_seed(yaml_file: Path) -> None:
    study = plan_study(yaml_file)
    assert [run.run_id for run in study.plan.runs] == [
        f"{network}.{setting}.s{seed}"
        for seed in (1, 2)
        for network in ("resnet18", "alexnet")
        for setting in ("original", "released")
    ]
    assert [run.recipe.lr for run in study.plan.runs[:3]] == [0.1, 0.1, 0.01]
    written = json.loads(study.paths.plan.read_bytes())
    assert [each["run_id"] for each in written["runs"]] == [r.run_id for r in study.plan.runs]
    assert len(written["evaluations"]) == 8


def test_boxes_of_objects_are_read_before_anything_is_trained(
    yaml_file: Path, tmp_path: Path
) -> None:
    boxes = tmp_path / "boxes.csv"
    where = f"data: {{annotations: faces, objects: {{format: ilsvrc-csv, path: {boxes}}}}}"
    yaml_file.write_text(yaml_file.read_text().replace("data: {annotations: faces}", where))
    with pytest.raises(AnnotationError, match=r"have the same name, .* leave data\.objects out"):
        plan_study(yaml_file)
    assert not (tmp_path / "out").exists()


def test_a_study_is_loaded_without_its_images(yaml_file: Path) -> None:
    opened = open_study(read_study(yaml_file))
    loaded = load_study(read_study(yaml_file))
    assert loaded.plan == opened.plan
    assert loaded.files_sha256 == opened.files_sha256
    for split in ("train", "val"):
        assert loaded.lists[split].sha256 == opened.lists[split].sha256


def test_nothing_is_loaded_where_nothing_began(yaml_file: Path) -> None:
    with pytest.raises(RunError, match=r"holds no study. Begin with 'veilset study run'"):
        load_study(read_study(yaml_file))


def test_settings_networks_and_seeds_may_be_added(yaml_file: Path) -> None:
    study = plan_study(yaml_file)
    begin(study.folder, "resnet18.released.s1")
    text = yaml_file.read_text().replace("seeds: [1, 2]", "seeds: [1, 2, 3]")
    text = text.replace("networks: [", "networks: [vgg11, ")
    text = text.replace("settings:\n", "settings:\n  again: {root: released}\n")
    yaml_file.write_text(text)
    assert len(plan_study(yaml_file).plan.runs) == 3 * 3 * 3


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("lr: 0.01", "lr: 0.02", "alexnet.original.s1: network.lr changed from 0.01 to 0.02"),
        ("epochs: 1,", "epochs: 9,", "resnet18.original.s1: recipe.epochs changed from 1 to 9"),
        (
            "{name: alexnet,",
            "{name: alexnet, model: vgg11,",
            "alexnet.original.s1: network.model changed from '' to 'vgg11'",
        ),
    ],
)
def test_what_a_run_was_asked_for_may_not_change(
    tmp_path: Path, old: str, new: str, told: str
) -> None:
    path = draw_finished(tmp_path)
    assert plan_study(path).plan.runs
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    for command in ("plan", "run"):
        done = CliRunner().invoke(app, ["study", command, str(path)])
        assert done.exit_code == 1
        assert f"Cannot resume {told}. Restore it, or delete" in str(done.exception)


def test_images_of_a_setting_with_runs_may_not_change(yaml_file: Path, drawn: Path) -> None:
    study = plan_study(yaml_file)
    changed = drawn.parent / "released" / "train" / "cat" / "1.png"
    before = changed.read_bytes()
    try:
        changed.write_bytes(before + b"\0")
        plan_study(yaml_file)  # nothing was trained yet
        begin(study.folder, "resnet18.original.s1")
        changed.write_bytes(before)
        plan_study(yaml_file)  # nor on this setting
        begin(study.folder, "resnet18.released.s1")
        changed.write_bytes(before + b"\0")
        with pytest.raises(ResumeMismatchError, match="files of released/train have other names"):
            plan_study(yaml_file)
    finally:
        changed.write_bytes(before)


def test_a_setting_with_runs_stays_what_it_is(yaml_file: Path) -> None:
    study = plan_study(yaml_file)
    begin(study.folder, "resnet18.released.s1")
    yaml_file.write_text(yaml_file.read_text().replace("{root: released}", "{method: mosaic}"))
    with pytest.raises(ResumeMismatchError, match="kind of the setting 'released' changed from 'f"):
        plan_study(yaml_file)


def test_lists_of_a_study_with_runs_stay(yaml_file: Path) -> None:
    begin(plan_study(yaml_file).folder, "resnet18.original.s1")
    classes = yaml_file.with_name("classes.json")
    classes.write_text('["dog", "cat"]')
    text = yaml_file.read_text().replace("faces}", "faces, classes: classes.json}")
    yaml_file.write_text(text)
    with pytest.raises(ResumeMismatchError, match="its train images or classes are not those"):
        plan_study(yaml_file)


def test_a_folder_of_something_else_is_refused(yaml_file: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.tex").write_text("x")
    with pytest.raises(RunError, match=r"holds 'thesis.tex'.* and is no study"):
        plan_study(yaml_file)


def test_the_command_tells_what_is_left(yaml_file: Path, tmp_path: Path) -> None:
    plan_study(yaml_file)
    begin(tmp_path / "out", "resnet18.original.s1")
    (tmp_path / "out/runs/resnet18.original.s1/run.json").write_text("{}")
    begin(tmp_path / "out", "alexnet.released.s2")
    failure = {"kind": "nan-loss", "step": 3, "message": "The loss became nan.", "at": ""}
    (tmp_path / "out/runs/alexnet.released.s2/failure.json").write_text(json.dumps(failure))
    result = CliRunner().invoke(app, ["study", "plan", str(yaml_file)])
    assert result.stdout == f"{tmp_path / 'out'}\n"
    assert "8 runs: 1 done, 1 failed, 6 left; 8 predictions left" in result.stderr
    assert "alexnet.released.s2 failed: The loss became nan." in result.stderr
    result = CliRunner().invoke(app, ["study", "plan", str(yaml_file), "--json"])
    assert json.loads(result.stdout)["counts"]["failed"] == 1


def test_the_command_prints_a_study_that_can_be_read(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["study", "example", "ilsvrc"])
    (tmp_path / "x.yaml").write_text(result.stdout)
    assert len(read_study(tmp_path / "x.yaml").networks) == 15


@pytest.mark.parametrize("with_scores", [True, False])
@pytest.mark.parametrize("n_images", [0, 3])
def test_predictions_are_written_and_read(tmp_path: Path, n_images: int, with_scores: bool) -> None:
    random = np.random.default_rng(0)
    scores = random.normal(size=(n_images, 7)).astype(np.float32)
    made = Predictions(
        image_ids=tuple(f"val/a/{index}.png" for index in range(n_images)),
        labels=np.arange(n_images),
        top=np.argsort(-scores, axis=1)[:, :5].astype(np.int32),
        scores=scores if with_scores else None,
        run_id="net.veil.s1",
        setting="veil",
        loss=scores[:, 0].copy(),
    )
    path = tmp_path / "p.parquet"
    write_predictions(path, made, n_classes=7, digests={"weights_sha256": "ab"})
    found = read_predictions(path, {"weights_sha256": "ab", "setting": "veil"})
    assert (found.image_ids, found.run_id, found.setting) == (made.image_ids, "net.veil.s1", "veil")
    for name in ("labels", "top", "loss"):
        np.testing.assert_array_equal(getattr(found, name), getattr(made, name))
    assert (found.scores is not None) == with_scores
    if found.scores is not None:
        np.testing.assert_array_equal(found.scores, scores)
    with pytest.raises(RunError, match=r"was made from another weights. Delete it"):
        read_predictions(path, {"weights_sha256": "cd"})
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(RunError, match="is damaged"):
        read_predictions(path)
