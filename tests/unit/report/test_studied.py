# SPDX-License-Identifier: Apache-2.0
"""A study in the report: told only where the release is one of its settings."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.report.drawn_release import DrawnRelease, many_images
from veilset.errors import RunError
from veilset.report.stage import write_report

COLUMNS = {
    "text": ("network", "trained", "evaluated", "metric", "setting", "images", "resolved"),
    "count": ("n_seeds", "n_images"),
    "interval": ("over_trainings", "over_images"),
}


@pytest.fixture
def release(tmp_path: Path) -> DrawnRelease:
    return DrawnRelease(tmp_path / "work", many_images(5)).write()


def columns(*keys: str) -> list[dict[str, Any]]:
    kinds = {key: kind for kind, names in COLUMNS.items() for key in names}
    found = []
    for key in keys:
        kind = kinds.get(key, "value" if key.endswith("drop") else "mean_sem")
        unit = "" if kind in ("text", "count") else "%"
        found.append({"key": key, "label": key, "unit": unit, "digits": 1, "kind": kind})
    return found


def table(name: str, *rows: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "title": name.title(), "note": f"How {name.title()} was counted.",
            "columns": columns(*rows[0]), "rows": list(rows)}  # fmt: skip


def drop(**changes: Any) -> dict[str, Any]:
    return {
        "network": "Average", "trained": "veil", "evaluated": "veil", "metric": "Top-1 accuracy",
        "drop": 0.0123, "over_trainings": {"low": -0.004, "high": 0.0286},
        "over_images": {"low": 0.001, "high": 0.021},
        "detectable_trainings": 0.0216, "n_seeds": 3, "n_images": 1400,
        "resolved": "no", **changes,
    }  # fmt: skip


def accuracies(network: str, value: float) -> dict[str, Any]:
    cell = {"mean": value, "sem": 0.0031, "n": 3}
    fewer = {"mean": value, "sem": None, "n": 2}
    return {"network": network, "top1.original": cell, "top1.veil": fewer,
            "top1.veil.drop": -0.0001,
            "top1.other": {"mean": 0.9, "sem": None, "n": 1}}  # fmt: skip


def write_study(folder: Path, out: Path, *drops: dict[str, Any], **changes: Any) -> Path:
    """Write what a study leaves, with the release as its setting ``veil``."""
    face = {key: value for key, value in drop().items() if key not in COLUMNS["text"][:3]}
    values: dict[str, Any] = {
        "format": "veilset-study-results/1",
        "name": "Small",
        "classes": 10,
        "reference": "original",
        "settings": ["original", "veil"],
        "runs": {"planned": 6, "done": 6, "failed": []},
        "left_out": 0,
        "tables": [
            table("table_3", accuracies("resnet<18>", 0.5004), accuracies("Average", 0.61)),
            table(
                "drops", *(drops or (drop(),)), drop(trained="other", evaluated="other", drop=0.5)
            ),
            table("faces", {"setting": "veil", "images": "with faces", **face}),
        ],
        "figures": {},
        "measurements": [],
        "inputs": {},
        **changes,
    }
    folder.mkdir()
    (folder / "study.json").write_text(json.dumps(values))
    settings = {
        "original": {"kind": "folder", "root": "/data/originals", "files_sha256": {}},
        "veil": {"kind": "folder", "root": str(out), "files_sha256": write_lists(folder, out)},
        "fly": {"kind": "layer", "root": "/data/originals"},
    }
    (folder / "started.json").write_text(json.dumps({"settings": settings}))
    return folder


def write_lists(folder: Path, out: Path) -> dict[str, str]:
    """Write the images of a setting, every second one to train on; give digests of the files."""
    (folder / "lists").mkdir()
    files = sorted(each for each in out.rglob("*") if each.is_file())
    digests = {}
    for split, part in (("train", files[::2]), ("val", files[1::2])):
        names = [each.relative_to(out).as_posix() for each in part]
        labels = pa.array([0] * len(part), pa.int32())
        table = pa.table({"image_id": names, "label": labels})
        pq.write_table(table, folder / "lists" / f"{split}.parquet")
        lines = [f"{n}\t{each.stat().st_size}\n" for n, each in zip(names, part, strict=True)]
        digests[split] = hashlib.sha256("".join(lines).encode()).hexdigest()
    return digests


def test_the_page_tells_what_it_costs(release: DrawnRelease, tmp_path: Path) -> None:
    page = write_report(release.out, study=write_study(tmp_path / "study", release.out))
    text = page.read_text()
    assert "What it costs" in text
    for told in (
        "top-1 accuracy fell by 1.2 points on average over networks; that cannot be told from none",
        "over images: 0.1 to 2.1 points",
        "Over trainings: -0.4 to 2.9 points. With 3 seeds that spread like these, a loss of 2.2 "
        "points would have been seen 4 times of 5; a smaller one, less often.",
        "50.0 ± 0.3", "50.0 (n = 2)", "How Faces was counted.", "resnet&lt;18&gt;", "with faces",
        "veilset study evaluate STUDY.yaml",
        "does not show that there is none",
    ):  # fmt: skip
        assert told in text
    # Another setting of the study is not this release; nor is a place on the machine told.
    assert "top1.other" not in text
    assert "/data/originals" not in text
    assert "-0.0<" not in text
    data = json.loads(page.with_suffix(".json").read_bytes())["study"]
    assert (data["setting"], data["runs"]["done"]) == ("veil", 6)
    assert [row["drop"] for row in data["drops"]] == [0.0123]


def test_without_a_study_nothing_is_told(release: DrawnRelease) -> None:
    page = write_report(release.out)
    assert "What it costs" not in page.read_text()
    assert json.loads(page.with_suffix(".json").read_bytes())["study"] is None


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (
            drop(resolved="yes"),
            "fell by 1.2 points on average over networks; that was seen clearly",
        ),
        (drop(drop=-0.004, over_trainings=None, n_seeds=1), "rose by 0.4 points"),
        (drop(over_trainings=None, n_seeds=1), "With 1 seed, other trainings are not covered."),
        (drop(over_trainings=None, n_seeds=2), "With 2 seeds that agree, other trainings are not"),
        (drop(detectable_trainings=None), "Over trainings: -0.4 to 2.9 points.</p>"),
        (drop(drop=None), "nothing can be said"),
        (drop(metric="Top-5 accuracy"), "nothing can be said"),
    ],
)
def test_the_sentence_says_no_more_than_is_known(
    release: DrawnRelease, tmp_path: Path, row: dict[str, Any], told: str
) -> None:
    page = write_report(release.out, study=write_study(tmp_path / "study", release.out, row))
    assert told in page.read_text()


def test_figures_of_the_release_are_shown(release: DrawnRelease, tmp_path: Path) -> None:
    ends = {"mean": 0.01, "low": 0.0, "high": 0.02}
    bins = [{"low": 0.0, "high": 0.5, "n": 7, "top1": ends, "top5": None},
            {"low": 0.5, "high": 1.0, "n": 3, "top1": ends, "top5": None}]  # fmt: skip
    figures = {
        f"{figure}.{setting}": {
            "setting": setting, "bins": bins, "x_label": "covered", "title": f"{figure} {setting}"
        }
        for figure in ("figure_3", "figure_4")
        for setting in ("veil", "other")
    }  # fmt: skip
    text = write_report(
        release.out, study=write_study(tmp_path / "study", release.out, figures=figures)
    ).read_text()
    assert "figure_3 veil" in text
    assert "figure_4 veil" in text
    assert "figure_3 other" not in text
    assert "1.00 points" in text


def test_runs_that_failed_are_told(release: DrawnRelease, tmp_path: Path) -> None:
    failed = [{"run_id": "vgg11.veil.s2", "kind": "nan-loss", "message": "In /home/ann: nan."}]
    runs = {"planned": 6, "done": 5, "failed": failed}
    study = write_study(tmp_path / "study", release.out, runs=runs, left_out=2)
    text = write_report(release.out, study=study).read_text()
    assert "5 of 6 runs of the study are finished" in text
    assert "vgg11.veil.s2" in text
    assert "nan loss" in text
    assert "2 images were left out" in text
    assert "/home/ann" not in text


def test_a_study_of_other_images_is_refused(release: DrawnRelease, tmp_path: Path) -> None:
    other = DrawnRelease(tmp_path / "elsewhere", many_images(5)).write()
    for each in other.out.rglob("*"):
        if each.is_file():
            each.write_bytes(each.read_bytes() + b"\0")
    study = write_study(tmp_path / "study", other.out)
    with pytest.raises(RunError, match=r"not of this release: .* \(it has: veil, from .*Give the"):
        write_report(release.out, study=study)


def test_a_release_that_was_moved_is_known_by_its_files(
    release: DrawnRelease, tmp_path: Path
) -> None:
    study = write_study(tmp_path / "study", release.out)
    moved = replace(release, folder=tmp_path / "moved")
    release.folder.rename(moved.folder)
    text = write_report(moved.out, study=study).read_text()
    assert "What it costs" in text
    image = next(each for each in moved.out.rglob("*") if each.is_file())
    image.write_bytes(image.read_bytes() + b"\0")
    with pytest.raises(RunError, match="has files of these names and sizes"):
        write_report(moved.out, study=study)


def test_a_release_whose_files_changed_is_another_one(
    release: DrawnRelease, tmp_path: Path
) -> None:
    study = write_study(tmp_path / "study", release.out)
    image = sorted(each for each in release.out.rglob("*") if each.is_file())[1]
    image.write_bytes(image.read_bytes() + b"\0")
    with pytest.raises(RunError, match=r"was of other files: images of val in .* another size"):
        write_report(release.out, study=study)
    image.unlink()
    with pytest.raises(RunError, match=r"images of val in .* are missing"):
        write_report(release.out, study=study)


def test_a_study_without_its_lists_says_what_writes_them(
    release: DrawnRelease, tmp_path: Path
) -> None:
    study = write_study(tmp_path / "study", release.out)
    (study / "lists" / "val.parquet").unlink()
    with pytest.raises(RunError, match=r"val.parquet is missing or damaged. 'veilset study plan'"):
        write_report(release.out, study=study)


def test_originals_are_no_release(release: DrawnRelease, tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", release.out, reference="veil")
    with pytest.raises(RunError, match="not of this release"):
        write_report(release.out, study=study)


def test_what_is_no_evaluated_study_is_refused(release: DrawnRelease, tmp_path: Path) -> None:
    study = write_study(tmp_path / "study", release.out, format="veilset-study-results/9")
    with pytest.raises(RunError, match=r"not veilset-study-results/1. Evaluate the study again"):
        write_report(release.out, study=study)
    (study / "study.json").write_text("{")
    with pytest.raises(RunError, match="is not valid JSON"):
        write_report(release.out, study=study)
    (study / "study.json").unlink()
    with pytest.raises(RunError, match=r"is missing or not readable. Run 'veilset study evaluate'"):
        write_report(release.out, study=study)
    (study / "started.json").unlink()
    with pytest.raises(RunError, match="Give the folder that 'veilset study' wrote"):
        write_report(release.out, study=study)
