# SPDX-License-Identifier: Apache-2.0
"""What attackers reach against the method of the release, as a section of the report."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from veilset.errors import RunError
from veilset.pages.attack_figures import draw_frontier, frontier_points
from veilset.pages.audit_figures import Figure, figure_card
from veilset.pages.markup import Content, Markup, el
from veilset.pages.parts import note, section, table
from veilset.records.attacks import (
    CLEAR,
    FILLED,
    LEARNED_FROM_STRANGERS,
    AttackResults,
    read_attack,
)

_LIMIT = (
    "Measured on photographs of people whose names are known, not on this release: what holds "
    "for the method there need not hold for other faces, sizes and scenes. Only these attackers "
    "were tried; a better one may name more people, none names fewer."
)


@dataclass(frozen=True, slots=True)
class Attacked:
    """An attack in which the method of this release is one of the settings.

    Attributes:
        results: Its numbers.
        setting: What the method is called in it.
    """

    results: AttackResults
    setting: str


def read_attacked(folder: Path, method: Mapping[str, Any]) -> Attacked:
    """Read an attack that is to be told in a report.

    Args:
        folder: Folder of the attack.
        method: Method of the release, as its record has it.

    Raises:
        RunError: If the folder holds no finished attack, the method is not on record, or it was
            not attacked with the same version and parameters.
    """
    results = read_attack(folder)
    if not method.get("name"):
        raise RunError(
            "No finished obfuscation of this release is on record, so it is not known by which "
            "method its faces are hidden. Leave --attack out."
        )
    setting = results.setting_of(method)
    if not setting or results.standing(setting) is None:
        known = ", ".join(
            name for name in results.manifest["extra"]["methods"] if name not in (CLEAR, FILLED)
        )
        told = ",".join(f"{key}={value}" for key, value in method.get("parameters", {}).items())
        name = method["name"]
        raise RunError(
            f"The attack {folder} is not of this release's method {name} "
            f"(it has: {known or 'none'}). Attack it with --method "
            f"{name}{':' if told else ''}{told}, or leave --attack out."
        )
    return Attacked(results, setting)


def attack_section(attacked: Attacked | None) -> Markup | str:
    """Tell who is still named; "" without an attack."""
    if attacked is None:
        return ""
    results = attacked.results
    shown = [_row(each, attacked.setting) for each in results.standings]
    figure = _figure(results)
    counts = results.manifest["counts"]
    return section(
        "attack",
        "What it buys",
        el("p", sentence(attacked), class_="lede"),
        table(
            "Photographs named at the first try by the worst attack",
            ("setting", "named, %", "95 % interval", "SSIM", "worst attack"),
            shown,
            numbers=(1, 2, 3),
        ),
        el("div", figure_card(figure, has_tables=False), class_="figures lone") if figure else "",
        note(
            f"{counts['people']:,} people; the attacker holds {counts['gallery']:,} of their "
            f"photographs, {counts['probes']:,} others are attacked. clear: nothing is hidden. "
            "filled: every face is one colour, and what is named is named by hair, body and scene."
        ),
        note(_attackers(results)),
        note(_LIMIT),
    )


def sentence(attacked: Attacked) -> str:
    """Say in words how often the worst attack names people, beside guessing and filled faces."""
    mine = attacked.results.standing(attacked.setting)
    filled = attacked.results.standing(FILLED)
    clear = attacked.results.standing(CLEAR)
    if mine is None:
        return "No face was attacked."
    worst = mine["worst"]
    text = (
        f"Of attackers who know the method and hold other photographs of the same people, the "
        f"worst ({worst['attack']}) names {_share(worst)} of the photographs at the first try; "
        f"guessing names {100 * worst['chance']:.1f} %"
    )
    if clear:
        text += f", the worst of clear faces {100 * clear['worst']['value']:.1f} %"
    beyond = mine["beyond_filled"]
    if filled and beyond:
        seen = "more than" if beyond["low"] > 0 else "not told apart from"
        seen = "fewer than" if beyond["high"] < 0 else seen
        text += (
            f". That is {seen} what faces filled with one colour let through "
            f"({100 * filled['worst']['value']:.1f} %; difference {100 * beyond['low']:+.1f} to "
            f"{100 * beyond['high']:+.1f} points)"
        )
    return f"{text}."


def _attackers(results: AttackResults) -> str:
    """Name who attacked: without it no share of named photographs says anything."""
    config, counts = results.manifest["config"], results.manifest["counts"]
    tried = results.manifest["extra"]["attacks"]
    text = f"Attacks that were tried: {', '.join(tried)}. Recogniser: {config['recogniser']}."
    learned = [name for name in tried if name in LEARNED_FROM_STRANGERS]
    if learned and counts.get("strangers"):
        text += (
            f" {' and '.join(learned)} had {counts['strangers']:,} faces of strangers to learn "
            "from too."
        )
    return text


def _share(row: Mapping[str, Any]) -> str:
    return f"{100 * row['value']:.1f} % ({100 * row['low']:.1f} to {100 * row['high']:.1f})"


def _row(standing: Mapping[str, Any], setting: str) -> list[Content]:
    worst, ssim = standing["worst"], standing["ssim"]
    name = standing["setting"]
    return [
        el("strong", f"{name} (this release's method)") if name == setting else name,
        f"{100 * worst['value']:.1f}",
        f"{100 * worst['low']:.1f} to {100 * worst['high']:.1f}",
        f"{ssim['value']:.3f}" if ssim else "-",
        worst["attack"],
    ]


def _figure(results: AttackResults) -> Figure | None:
    points, levels = frontier_points(results.standings)
    if len(points) < 2:
        return None
    title = "Who is named, against what is left of the pictures"
    return Figure(
        "frontier", title, "95 % intervals; settings that no other beats are joined",
        draw_frontier(points, levels), ("setting", "named, %"),
        [(each.label, round(100 * each.named)) for each in points],
    )  # fmt: skip


def attack_data(attacked: Attacked | None) -> dict[str, Any] | None:
    """Give the numbers of the section as JSON values."""
    if attacked is None:
        return None
    results = attacked.results
    return {
        "setting": attacked.setting,
        "summary": sentence(attacked),
        "counts": dict(results.manifest["counts"]),
        "standings": results.standings,
        "attacks": list(results.manifest["extra"]["attacks"]),
    }


def attack_commands(attacked: Attacked | None) -> list[str]:
    """Give the command that makes the attack again; names in capitals are the user's to fill in."""
    if attacked is None:
        return []
    manifest = attacked.results.manifest
    config = manifest["config"]
    words = ["veilset attack run FACES -a FACES.ANN -o ATTACK"]
    if config["identities"] != "folders":
        words.append("--identities PEOPLE")
    for setting in config["settings"]:
        if setting["name"] not in (CLEAR, FILLED):
            is_method = bool(setting["method"])
            told = setting["name"] if is_method else f"{setting['name']}=RELEASE"
            words.append(f"{'--method' if is_method else '--release'} {shlex.quote(told)}")
    words += [f"--only {name}" for name in manifest["extra"]["attacks"]]
    words += ["--strangers"] if config.get("strangers") else []
    words.append(f"--recogniser {config['recogniser']} --seed {config['seed']}")
    return [" ".join(words)]
