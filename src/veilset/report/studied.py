# SPDX-License-Identifier: Apache-2.0
"""What training on the release costs, as a section of the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from veilset.dataset.locations import Location, is_url
from veilset.errors import RunError
from veilset.pages.audit_figures import Figure, figure_card
from veilset.pages.markup import Content, Markup, el, join
from veilset.pages.parts import caution, count, note, section, table
from veilset.pages.study_figures import draw_study_figures
from veilset.records.studies import Row, StudyResults, read_results

_MAIN = {"network": "Average", "metric": "Top-1 accuracy"}
_FIGURES = ("figure_3", "figure_4")
_METRICS = ("top1", "top5")

_LIMIT = (
    "Measured with the networks, the picture size and the recipe of this study. Over trainings: "
    "what other seeds would have given. Over images: what other images of the same classes would "
    "have given. A drop counts as seen only if both intervals leave out 0; that none was seen "
    "does not show that there is none."
)


@dataclass(frozen=True, slots=True)
class Studied:
    """A study in which this release is one of the settings.

    Attributes:
        results: Its numbers.
        setting: What the release is called in it.
        figures: Its figures about the release, by name.
    """

    results: StudyResults
    setting: str
    figures: Mapping[str, Figure]


def read_studied(folder: Path, out: Location) -> Studied:
    """Read a study that is to be told in a report.

    Args:
        folder: Folder of the study.
        out: The release.

    Raises:
        RunError: If the folder holds no evaluated study, the release is no obfuscated setting
            of it, or its files have changed since.
    """
    results = read_results(folder)
    setting = "" if is_url(out) else results.setting_of(Path(out))
    if setting in ("", results.reference):
        known = ", ".join(
            f"{name}, from {root}"
            for name, root in results.roots.items()
            if name != results.reference
        )
        raise RunError(
            f"The study {folder} is not of this release: none of its obfuscated settings lies in "
            f"{out} or has files of these names and sizes (it has: {known or 'none'}). Give the "
            "release that the study used, wherever it lies now; or name this one as a setting in "
            "study.yaml and run the study; or leave --study out."
        )
    shown = {
        name: figure
        for name, figure in results.numbers["figures"].items()
        if name in {f"{each}.{setting}" for each in _FIGURES}
    }
    return Studied(results, setting, draw_study_figures(shown))


def study_section(studied: Studied | None) -> Markup | str:
    """Tell what training on the release costs; "" without a study."""
    if studied is None:
        return ""
    figures = [studied.figures[name] for name in sorted(studied.figures)]
    cards = [figure_card(each, has_tables=False) for each in figures]
    return section(
        "study",
        "What it costs",
        el("p", sentence(studied), class_="lede"),
        *_warnings(studied),
        _accuracies(studied),
        _faces(studied),
        el("div", cards, class_="figures lone" if len(cards) == 1 else "figures") if cards else "",
        note(_LIMIT),
    )


def sentence(studied: Studied) -> str:
    """Say in words how much top-1 accuracy is lost, and how small a loss would have been seen."""
    rows = _main_rows(studied)
    if not rows or rows[0]["drop"] is None:
        return (
            "No seed has finished both a network trained on the originals and one trained on "
            "this release: nothing can be said."
        )
    row = rows[0]
    drop, trainings, images = row["drop"], row["over_trainings"], row["over_images"]
    way = "fell" if drop >= 0 else "rose"
    points = f"{100 * abs(drop):.1f} points"
    is_resolved = row["resolved"] == "yes"
    seen = "was seen clearly" if is_resolved else "cannot be told from none"
    text = (
        "Of networks trained and evaluated on this release instead of "
        f"{studied.results.reference} images, top-1 accuracy {way} by {points} on average over "
        f"networks; that {seen}."
    )
    if images is not None:
        text += f" 95 % interval of the loss over images: {_ends(images)} points."
    if trainings is None or trainings["low"] is None:
        agree = " that agree" if row["n_seeds"] > 1 else ""
        seeds = count(row["n_seeds"], "seed")
        return f"{text} With {seeds}{agree}, other trainings are not covered."
    text += f" Over trainings: {_ends(trainings)} points."
    # From this size on the interval shows a loss 4 times of 5; older studies do not tell it.
    detectable = row.get("detectable_trainings")
    if detectable is None:
        return text
    return (
        f"{text} With {count(row['n_seeds'], 'seed')} that spread like these, a loss of "
        f"{100 * detectable:.1f} points would have been seen 4 times of 5; a smaller one, less "
        "often."
    )


def _main_rows(studied: Studied) -> list[Row]:
    setting = studied.setting
    return studied.results.rows("drops", **_MAIN, trained=setting, evaluated=setting)


def _warnings(studied: Studied) -> Iterator[Content]:
    runs = studied.results.numbers["runs"]
    failed, n_left = runs["failed"], runs["planned"] - runs["done"]
    if n_left:
        done = f"{runs['done']:,} of {count(runs['planned'], 'run')} of the study are finished."
        yield caution(f"{done} The rest is missing from every number here.")
    if failed:
        # Their messages name folders of the machine that trained.
        rows = [(each["run_id"], each["kind"].replace("-", " ")) for each in failed]
        yield table("Runs that failed", ("run", "why"), rows)
    if n_images := studied.results.numbers["left_out"]:
        yield note(f"{count(n_images, 'image')} were left out: not all settings have them.")


def _accuracies(studied: Studied) -> Markup | str:
    found = studied.results.table("table_3")
    if found is None:
        return ""
    setting, reference = studied.setting, studied.results.reference
    wanted = [f"{m}.{each}" for m in _METRICS for each in (reference, setting, f"{setting}.drop")]
    keys = ["network", *(key for name in wanted for key in (name, f"{name}.paper"))]
    return _table(found, keys, found["rows"])


def _faces(studied: Studied) -> Markup | str:
    found = studied.results.table("faces")
    rows = studied.results.rows("faces", setting=studied.setting)
    if found is None or not rows:
        return ""
    keys = ("images", "metric", "drop", "over_trainings", "over_images", "n_images", "resolved")
    return _table(found, keys, rows)


def _table(found: Mapping[str, Any], keys: Sequence[str], rows: Sequence[Row]) -> Markup:
    """Give some columns of a table of the study."""
    known = {column["key"]: column for column in found["columns"]}
    columns = [known[key] for key in keys if key in known]
    headers = [f"{c['label']}{', %' if c['unit'] == '%' else ''}" for c in columns]
    numbers = [i for i, column in enumerate(columns) if column["kind"] != "text"]
    means = [row.get(each["key"]) for row in rows for each in columns]
    most = max(
        (cell["n"] for cell in means if isinstance(cell, Mapping) and cell.get("n")), default=0
    )
    most = max(most, found.get("n_seeds", 0))
    cells = [[_shown(row.get(each["key"]), each, most) for each in columns] for row in rows]
    return join(
        table(found["title"], headers, cells, numbers=numbers),
        note(found["note"]) if found["note"] else "",
    )


def _shown(cell: Any, column: Mapping[str, Any], n_usual: int) -> Content:
    if cell is None:
        return "-"
    if column["kind"] == "text":
        return str(cell)
    if column["kind"] == "count":
        return int(cell)
    if column["kind"] == "interval":
        ends = (cell["low"], cell["high"])
        return "-" if None in ends else " to ".join(_number(each, column) for each in ends)
    if isinstance(cell, Mapping):
        if cell["mean"] is None:
            return "-"
        sem, n = cell.get("sem"), cell.get("n")
        spread = f" ± {_number(sem, column)}" if sem is not None else ""
        # A mean over fewer seeds than the others says so.
        seeds = f" (n = {n})" if n is not None and n < n_usual else ""
        return f"{_number(cell['mean'], column)}{spread}{seeds}"
    return _number(cell, column)


def _number(value: float, column: Mapping[str, Any]) -> str:
    digits = column["digits"]
    # Adding 0.0 takes the sign from a zero that was rounded.
    return f"{round(100 * value if column['unit'] == '%' else value, digits) + 0.0:.{digits}f}"


def _ends(interval: Mapping[str, float]) -> str:
    return f"{100 * interval['low']:.1f} to {100 * interval['high']:.1f}"


def study_data(studied: Studied | None) -> dict[str, Any] | None:
    """Give the numbers of the section as JSON values."""
    if studied is None:
        return None
    numbers, setting = studied.results.numbers, studied.setting
    failed = [
        {"run_id": each["run_id"], "kind": each["kind"]} for each in numbers["runs"]["failed"]
    ]
    return {
        "name": numbers["name"],
        "setting": setting,
        "reference": studied.results.reference,
        "summary": sentence(studied),
        "runs": {**numbers["runs"], "failed": failed},
        "left_out": numbers["left_out"],
        "accuracies": studied.results.rows("table_3"),
        "drops": studied.results.rows("drops", trained=setting, evaluated=setting),
        "faces": studied.results.rows("faces", setting=setting),
    }


def study_commands(studied: Studied | None) -> list[str]:
    """Give the commands that make the study again."""
    if studied is None:
        return []
    return [f"veilset study {verb} STUDY.yaml" for verb in ("run", "evaluate")]
