# SPDX-License-Identifier: Apache-2.0
"""The results of an attack: tables, a figure, a recommendation, and the record of it all."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from veilset.attack.config import (
    ATTACKS,
    CLEAR,
    FILLED,
    AttackConfig,
)
from veilset.attack.identities import GALLERY, PROBE
from veilset.attack.measuring import Evidence
from veilset.attack.outcomes import Outcome, Row
from veilset.attack.ranking import MOST_BEYOND, OF_FACES, Standing, rank_settings
from veilset.files import sha256_hex, write_atomically
from veilset.packages import package_versions
from veilset.pages.attack_figures import draw_frontier, frontier_points
from veilset.pages.drawings import standalone
from veilset.pages.markdown import plain
from veilset.plugins import make_obfuscator
from veilset.records.attacks import LEARNED_FROM_STRANGERS
from veilset.runs import FINISHED, FORMAT, RunSummary, json_bytes, read_manifest
from veilset.spreadsheets import csv_text

RESULTS_CSV, RESULTS_PARQUET = "results.csv", "results.parquet"
SUMMARY_CSV, SUMMARY_MD, FRONTIER = "summary.csv", "summary.md", "frontier.svg"
FILES = (RESULTS_CSV, RESULTS_PARQUET, SUMMARY_CSV, SUMMARY_MD, FRONTIER, FINISHED)
"""What the folder of an attack holds beside the look and the outcomes."""

_SCHEMA = pa.schema(
    [
        ("setting", pa.string()), ("attack", pa.string()), ("protocol", pa.string()),
        ("measure", pa.string()), ("value", pa.float64()), ("low", pa.float64()),
        ("high", pa.float64()), ("n", pa.int64()), ("chance", pa.float64()),
        ("direction", pa.string()), ("note", pa.string()),
    ],
    metadata={"veilset": "veilset-attack-results/1"},
)  # fmt: skip

LIMITS = (
    "Only these attackers were tried. A stronger recogniser, more photographs of each person or "
    "another way to restore faces may name more people; none can name fewer.",
    "The worst of several attacks is shown, each with an interval of its own: the worst of many "
    "lies a little too high rather than too low.",
    "What stands around the faces identifies people too: a setting cannot tell less than filled "
    "faces do.",
    "The boxes were known. A face that was not found is not hidden by any setting.",
)


def tell(
    folder: Path,
    evidence: Evidence,
    outcomes: Sequence[Outcome],
    places: Mapping[str, str],
) -> RunSummary:
    """Write tables, figure and record of an attack.

    Args:
        folder: Folder of the attack.
        evidence: What was looked at.
        outcomes: Of all attacks in all settings.
        places: Where originals and annotation set lie, for questions to people.

    Returns:
        The summary; ``extra`` has ``recommendation`` and ``standings``.

    Raises:
        RunError: If a file cannot be written.
    """
    rows = [row for outcome in outcomes for row in outcome.rows]
    standings = rank_settings(outcomes, evidence.draws)
    advice = recommend(standings)
    _write_results(folder, rows)
    _write_csv(folder / SUMMARY_CSV, *_summary_lines(standings))
    told_md = summary_markdown(standings, advice, len(evidence.strangers))
    write_atomically(folder / SUMMARY_MD, told_md.encode())
    points, levels = frontier_points([_as_json(each) for each in standings])
    if points:
        write_atomically(folder / FRONTIER, standalone(draw_frontier(points, levels)))
    else:
        (folder / FRONTIER).unlink(missing_ok=True)
    told = {
        "recommendation": advice,
        "places": dict(places),
        "standings": [_as_json(each) for each in standings],
        "methods": _methods(evidence.config),
    }
    return _write_record(folder, evidence, outcomes, told)


def recommend(standings: Sequence[Standing]) -> str:
    """Say in plain words which setting to choose, if one can be named.

    A setting is recommended only where its worst attack does not name people more often than
    the worst attack on filled faces: the interval of the difference holds 0 or lies below it, and
    nothing above ``MOST_BEYOND``. Of those, the one that leaves most of the pictures.
    """
    rivals = [each for each in standings if each.setting not in (CLEAR, FILLED)]
    if not rivals:
        return "No setting was attacked, so none can be recommended."
    good = [each for each in rivals if each.tells_no_more_than_filled and each.ssim]
    least = rivals[0]
    unresolved = sum(each.is_unresolved for each in rivals)
    if not good and unresolved:
        return (
            f"No setting can be recommended. Of {unresolved:,} it cannot be said whether they "
            "protect as much as faces filled with one colour: people's photographs may be named "
            f"more than {100 * MOST_BEYOND:g} points oftener. Attack photographs of more people."
        )
    if all(each.beyond_filled is None for each in rivals):
        return (
            "No setting can be recommended: none of these attacks was made on faces filled with "
            "one colour, so there is nothing to compare with. Add 'recognise' or a parrot."
        )
    if not good:
        return (
            f"No setting protects as much as faces filled with one colour. Least is told by "
            f"{least.setting!r}: its worst attack ({least.worst.attack}) names "
            f"{_percent(least.worst)} of people's photographs at the first try. Fill the faces, "
            "or obfuscate them more strongly."
        )
    best = max(good, key=lambda each: _value(each.ssim))
    return (
        f"Of the settings whose worst attack names no more than that on filled faces, "
        f"{best.setting!r} leaves most of the pictures: SSIM {_value(best.ssim):.3f}. Its worst "
        f"attack ({best.worst.attack}) names {_percent(best.worst)} of people's photographs at "
        f"the first try, against {100 * (best.worst.chance or 0):.1f} % by guessing"
        f"{_beside_filled(best)}."
    )


def _beside_filled(standing: Standing) -> str:
    """Say how it compares with filled faces, as the end of a sentence."""
    difference = standing.beyond_filled
    if difference is None:
        return ""
    reach = f"({100 * difference.low:+.1f} to {100 * difference.high:+.1f} points)"
    if difference.high < 0:
        return f"; that is fewer than filled faces let through {reach}"
    return f"; the difference to filled faces is not told apart from none {reach}"


def _value(row: Row | None) -> float:
    return row.value if row is not None and row.value is not None else float("nan")


def _percent(row: Row) -> str:
    if row.value is None or row.low is None or row.high is None:
        return "not measured"
    return f"{100 * row.value:.1f} % ({100 * row.low:.1f} to {100 * row.high:.1f}, n = {row.n:,})"


def _summary_lines(standings: Sequence[Standing]) -> tuple[list[str], list[list[Any]]]:
    header = ["setting", "frontier", "ssim", "worst_attack", "rank_1", "low", "high", "n",
              "chance", "beyond_filled", "beyond_low", "beyond_high"]  # fmt: skip
    lines: list[list[Any]] = []
    for each in standings:
        worst, beyond = each.worst, each.beyond_filled
        more = (beyond.value, beyond.low, beyond.high) if beyond else ("", "", "")
        lines.append(
            [each.setting, "yes" if each.is_frontier else "", each.ssim.value if each.ssim else "",
             worst.attack, worst.value, worst.low, worst.high, worst.n, worst.chance, *more]
        )  # fmt: skip
    attacks = [name for name in OF_FACES if any(name in each.by_attack for each in standings)]
    for line, each in zip(lines, standings, strict=True):
        line += [each.by_attack[name].value if name in each.by_attack else "" for name in attacks]
    return [*header, *attacks], lines


def summary_markdown(standings: Sequence[Standing], advice: str, n_strangers: int = 0) -> str:
    """Give the table of settings, the recommendation and its limits as Markdown.

    Args:
        standings: The settings, in order.
        advice: The recommendation.
        n_strangers: Faces that attackers learned from beside those of the gallery.
    """
    attacks = [name for name in OF_FACES if any(name in each.by_attack for each in standings)]
    head = ["setting", "SSIM", *attacks, "worst, 95 % interval", "beyond filled faces"]
    lines = [
        "# Attacks",
        "",
        plain(advice),
        "",
        "Share of people's photographs that are named at the first try (rank 1, mean over people), "
        "in percent. * marks the settings that no other beats in both protection and SSIM.",
        "",
        f"| {' | '.join(head)} |",
        f"| --- | {' | '.join(['---:'] * (len(head) - 1))} |",
    ]
    for each in standings:
        beyond = each.beyond_filled
        cells = [
            f"{plain(each.setting)}{' *' if each.is_frontier else ''}",
            f"{each.ssim.value:.3f}" if each.ssim and each.ssim.value is not None else "",
            *(
                f"{100 * (each.by_attack[name].value or 0):.1f}" if name in each.by_attack else ""
                for name in attacks
            ),
            _percent(each.worst),
            f"{100 * beyond.value:+.1f} ({100 * beyond.low:+.1f} to {100 * beyond.high:+.1f})"
            if beyond
            else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    chance = standings[0].worst.chance if standings else None
    if chance is not None:
        lines += ["", f"By guessing: {100 * chance:.2f} %."]
    learned = [f"`{name}`" for name in LEARNED_FROM_STRANGERS if name in attacks]
    if n_strangers and learned:
        lines += [
            "",
            f"Had {n_strangers:,} faces of strangers to learn from too, who are in no gallery and "
            f"on no probe: {', '.join(learned)}.",
        ]
    lines += _blind(standings)
    lines += ["", "Attacks:", ""]
    lines += [f"- `{name}`: {ATTACKS[name]}" for name in attacks]
    lines += ["", "Limits:", "", *(f"- {each}" for each in LIMITS), ""]
    return "\n".join(lines)


def _as_json(standing: Standing) -> dict[str, Any]:
    beyond = standing.beyond_filled
    return {
        "setting": standing.setting,
        "worst": asdict(standing.worst),
        "by_attack": {name: asdict(row) for name, row in standing.by_attack.items()},
        "beyond_filled": {"value": beyond.value, "low": beyond.low, "high": beyond.high}
        if beyond
        else None,
        "ssim": asdict(standing.ssim) if standing.ssim else None,
        "is_frontier": standing.is_frontier,
    }


def _methods(config: AttackConfig) -> dict[str, dict[str, Any]]:
    """Give name, version and resolved parameters of every method: a release is known by them."""
    cards = {
        each.name: make_obfuscator(each.method, each.parameters).card
        for each in config.shown
        if each.method
    }
    return {
        name: {"name": card.name, "version": card.version, "parameters": dict(card.parameters)}
        for name, card in cards.items()
    }


def _blind(standings: Sequence[Standing]) -> list[str]:
    """Name the attacks that cannot even name clear faces: what they miss shows nothing."""
    clear = next((each for each in standings if each.setting == CLEAR), None)
    found = [name for name, row in clear.by_attack.items() if row.is_at_chance] if clear else []
    return [
        line
        for name in found
        for line in (
            "",
            f"`{name}` does not name clear faces more often than guessing does: it shows nothing "
            "here. It needs more photographs of each person.",
        )
    ]


def _write_results(folder: Path, rows: Sequence[Row]) -> None:
    told = [asdict(row) for row in rows]
    names = _SCHEMA.names
    _write_csv(
        folder / RESULTS_CSV, names,
        [["" if row[name] is None else row[name] for name in names] for row in told],
    )  # fmt: skip
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(told, schema=_SCHEMA), sink, compression="zstd")
    write_atomically(folder / RESULTS_PARQUET, sink.getvalue().to_pybytes())


def _write_csv(path: Path, header: Sequence[str], lines: Sequence[Sequence[Any]]) -> None:
    write_atomically(path, csv_text(header, lines).encode())


def _made(outcomes: Sequence[Outcome]) -> list[str]:
    """Name the attacks that were made, in this run or before."""
    made = {each.attack for each in outcomes}
    return [name for name in ATTACKS if name in made]


def _write_record(
    folder: Path,
    evidence: Evidence,
    outcomes: Sequence[Outcome],
    told: Mapping[str, Any],
) -> RunSummary:
    look = read_manifest(evidence.folder)
    sides = Counter(GALLERY if held else PROBE for held in evidence.is_gallery)
    counts = {
        "photographs": len(evidence.image_ids),
        "people": len(evidence.people),
        "gallery": sides[GALLERY],
        "probes": sides[PROBE],
        "copies": evidence.n_copies,
        "failed": int(look["counts"].get("could_not_look", 0)),
        "settings": len(evidence.config.shown),
        "outcomes": sum(bool(each.rows) for each in outcomes),
    }
    if evidence.config.strangers:
        failed = int(look["counts"].get("strangers_could_not_look", 0))
        counts |= {"strangers": len(evidence.strangers), "strangers_failed": failed}
    results = (folder / RESULTS_PARQUET).read_bytes()
    extra = {
        **told,
        "limits": LIMITS,
        "left_out": look["extra"]["left_out"],
        "attacks": _made(outcomes),
    }
    manifest = {
        "format": FORMAT,
        "stage": "attack",
        "veilset": look["veilset"],
        "config": look["config"] | {
            name: getattr(evidence.config, name)
            for name in ("identities", "n_draws", "device", "threads", "epochs")
        } | {"attacks": _made(outcomes)},
        "inputs": look["inputs"],
        "counts": counts,
        "models": look["models"],
        "extra": extra,
        "outputs_sha256": sha256_hex(results),
        "packages": package_versions(),
        "machine": look["machine"],
        "finished_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }  # fmt: skip
    write_atomically(folder / FINISHED, json_bytes(manifest))
    return RunSummary("attack", folder, counts, look["seconds"], look["wall_s"], extra)
