# SPDX-License-Identifier: Apache-2.0
"""The record of an attack, written by hand: two methods, clear and filled faces."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from veilset.runs import FINISHED, FORMAT, json_bytes

VEIL = {"name": "veil", "version": 1, "parameters": {"cells": 6, "enlarge": 0.2}}
OVERLAY = {"name": "overlay", "version": 1, "parameters": {"colour": "mean"}}


def row(setting: str, attack: str, value: float, chance: float = 0.05) -> dict[str, Any]:
    return {
        "setting": setting, "attack": attack, "protocol": "", "measure": "rank-1", "value": value,
        "low": max(0.0, value - 0.04), "high": min(1.0, value + 0.06), "n": 80, "chance": chance,
        "direction": "lower", "note": "",
    }  # fmt: skip


def standing(setting: str, attack: str, value: float, ssim: float | None) -> dict[str, Any]:
    beyond = {"value": value - 0.07, "low": value - 0.12, "high": value - 0.01}
    return {
        "setting": setting,
        "worst": row(setting, attack, value),
        "by_attack": {attack: row(setting, attack, value)},
        "beyond_filled": None if setting == "filled" else beyond,
        "ssim": None if ssim is None else row(setting, "similarity", ssim) | {"measure": "SSIM"},
        "is_frontier": setting == "overlay",
    }


def write_attack(folder: Path, veil: Mapping[str, Any] = VEIL) -> Path:
    """Write ``run.json`` of an attack in which ``veil`` and ``overlay`` were attacked."""
    folder.mkdir(parents=True)
    manifest = {
        "format": FORMAT,
        "stage": "attack",
        "counts": {"people": 20, "gallery": 80, "probes": 80, "strangers": 1500},
        "config": {
            "identities": "who.csv",
            "recogniser": "dlib",
            "seed": 1,
            "strangers": True,
            "settings": [
                {"name": name, "method": method, "release": ""}
                for name, method in (
                    ("clear", ""),
                    ("filled", "overlay"),
                    ("overlay", "overlay"),
                    ("veil:cells=6", "veil"),
                )
            ],
        },
        "extra": {
            "attacks": ["recognise", "parrot-pixels"],
            "methods": {"filled": OVERLAY, "veil:cells=6": dict(veil), "overlay": OVERLAY},
            "standings": [
                standing("clear", "recognise", 0.99, None),
                standing("filled", "recognise", 0.07, 0.84),
                standing("overlay", "recognise", 0.08, 0.84),
                standing("veil:cells=6", "parrot-pixels", 0.355, 0.64),
            ],
        },
    }
    (folder / FINISHED).write_bytes(json_bytes(manifest))
    return folder
