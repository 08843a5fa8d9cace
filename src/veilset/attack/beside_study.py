# SPDX-License-Identifier: Apache-2.0
"""What each method buys and what it costs, in one table: an attack beside a study.

The two are made on different photographs, of named people here, of categories there. They meet
where a setting of the attack and a release of the study were made by one method, of one version
and with the same parameters: the records of both say so, names are not asked.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from veilset.errors import RunError
from veilset.files import write_atomically
from veilset.pages.markdown import plain
from veilset.records.attacks import AttackResults, read_attack
from veilset.records.places import record_folder
from veilset.records.studies import StudyResults, read_results
from veilset.runs import make_folder
from veilset.spreadsheets import csv_text

BESIDE_CSV, BESIDE_MD = "cost.csv", "cost.md"
BESIDE = (BESIDE_CSV, BESIDE_MD)
_MAIN = {"network": "Average", "metric": "Top-1 accuracy"}


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share with its 95 % interval; the interval is None if the study has too few seeds."""

    value: float
    low: float | None
    high: float | None

    @property
    def in_percent(self) -> str:
        """The value and the ends, for people."""
        if self.low is None or self.high is None:
            return f"{_percent(self.value)} (no interval)"
        return f"{_percent(self.value)} ({_percent(self.low)} to {_percent(self.high)})"


def _percent(share: float) -> str:
    # Rounded to 0 a loss has no sign.
    return f"{round(100 * share, 1) + 0:.1f}"


@dataclass(frozen=True, slots=True)
class Beside:
    """One method, attacked and studied.

    Attributes:
        setting: Its name in the attack.
        studied_as: Its name in the study.
        attack: The worst attack.
        named: Share of photographs that it names at the first try.
        ssim: Similarity of whole pictures, None if it was not measured.
        drop: Loss of top-1 accuracy, mean over networks; its interval is over images.
        drop_trainings: The same, its interval over trainings.
        n_probes: Photographs behind ``named``.
        n_images: Images behind ``drop``.
        n_seeds: Trainings of each network.
    """

    setting: str
    studied_as: str
    attack: str
    named: Estimate
    ssim: float | None
    drop: Estimate
    drop_trainings: Estimate
    n_probes: int
    n_images: int
    n_seeds: int


def put_beside(attack: Path, study: Path, out: Path | None = None) -> list[Beside]:
    """Write what is named and what is lost, for each method that was both attacked and studied.

    Args:
        attack: Folder of a finished attack.
        study: Folder of an evaluated study; its obfuscated settings are releases with records.
        out: Folder for ``cost.csv`` and ``cost.md``; None for that of the attack.

    Returns:
        A row for each method, from the most protecting on.

    Raises:
        RunError: If one of the two is not finished, or they have no method in common.
    """
    attacked, studied = read_attack(attack), read_results(study)
    rows = [
        row
        for name, root in studied.roots.items()
        if name != studied.reference
        and (method := _method(root))
        and (row := _row(attacked, studied, name, method))
    ]
    if not rows:
        theirs = ", ".join(name for name in studied.roots if name != studied.reference)
        raise RunError(
            f"The attack {attack} and the study {study} (its settings: {theirs or 'none'}) have no "
            "method in common, of one version and with the same parameters. Attack the methods "
            "of the study's releases, with --method."
        )
    rows.sort(key=lambda row: (row.named.value, row.setting))
    folder = out or attack
    make_folder(folder)
    write_atomically(folder / BESIDE_CSV, _csv(rows).encode())
    write_atomically(folder / BESIDE_MD, _markdown(rows, studied).encode())
    return rows


def _method(root: Path) -> Mapping[str, Any]:
    """Give the method of a release; empty where no record says what it was."""
    path = record_folder(str(root)) / "obfuscate" / "run.json"
    try:
        found: Mapping[str, Any] = json.loads(path.read_bytes())["config"]["method"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return found


def _row(
    attacked: AttackResults, studied: StudyResults, name: str, method: Mapping[str, Any]
) -> Beside | None:
    setting = attacked.setting_of(method)
    standing = attacked.standing(setting) if setting else None
    drops = studied.rows("drops", **_MAIN, trained=name, evaluated=name)
    if standing is None or not drops or drops[0]["drop"] is None:
        return None
    worst, ssim, drop = standing["worst"], standing["ssim"], drops[0]
    return Beside(
        setting=setting,
        studied_as=name,
        attack=worst["attack"],
        named=Estimate(worst["value"], worst["low"], worst["high"]),
        ssim=ssim["value"] if ssim else None,
        drop=_estimate(drop["drop"], drop["over_images"]),
        drop_trainings=_estimate(drop["drop"], drop["over_trainings"]),
        n_probes=int(worst["n"]),
        n_images=int(drop["n_images"]),
        n_seeds=int(drop["n_seeds"]),
    )


def _estimate(value: float, ends: Mapping[str, float] | None) -> Estimate:
    return Estimate(value, ends["low"], ends["high"]) if ends else Estimate(value, None, None)


def _csv(rows: list[Beside]) -> str:
    ends = ("", "_low", "_high")
    names = [f"{name}{end}" for name in ("named", "drop", "drop_trainings") for end in ends]
    counts = ("n_probes", "n_images", "n_seeds")
    header = ("setting", "studied_as", "worst_attack", *names, "ssim", *counts)
    lines = []
    for row in rows:
        estimates = (row.named, row.drop, row.drop_trainings)
        shares = [value for each in estimates for value in (each.value, each.low, each.high)]
        told = (row.setting, row.studied_as, row.attack)
        lines.append((*told, *shares, row.ssim, row.n_probes, row.n_images, row.n_seeds))
    return csv_text(header, lines)


def _markdown(rows: list[Beside], studied: StudyResults) -> str:
    lines = [
        "# What it buys, and what it costs",
        "",
        "| setting | worst attack | named, % | top-1 accuracy lost, points: over images "
        "| over trainings | SSIM |",
        "|---|---|---:|---:|---:|---:|",
    ]
    lines += [
        f"| {plain(row.setting)} | {plain(row.attack)} | {row.named.in_percent} "
        f"| {row.drop.in_percent} | {row.drop_trainings.in_percent} "
        f"| {'' if row.ssim is None else f'{row.ssim:.3f}'} |"
        for row in rows
    ]
    first = rows[0]
    lines += [
        "",
        f"95 % intervals. Named: by the worst attack at the first try, n = {first.n_probes:,} "
        "photographs of named people. Lost: networks trained and evaluated on the setting instead "
        f"of {plain(studied.reference)}, mean over networks, n = {first.n_images:,} images and "
        f"{first.n_seeds} trainings of each network; an interval over images says what other "
        "images would have given, one over trainings what other trainings would have.",
        "",
        "The two were measured on different photographs. What a method costs depends on how much "
        "of the images faces are, what it buys on who attacks.",
    ]
    return "\n".join(lines) + "\n"
