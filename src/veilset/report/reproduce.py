# SPDX-License-Identifier: Apache-2.0
"""The commands that make a release again."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

from veilset.annotations.store import detection_of
from veilset.report.attacked import attack_commands
from veilset.report.facts import StageRecord
from veilset.report.gather import Facts
from veilset.report.studied import study_commands

_DETECTOR_FLAGS = ("effort", "threshold", "device", "precision", "runtime")


def commands(facts: Facts) -> list[str]:
    """Give the commands of the stages that are on record, with their settings written out.

    The folders are placeholders: the report does not say where on a machine they lie.
    """
    layout = _layout(facts)
    found: list[str] = []
    found += _regions(facts.stages["detect"], layout)
    if facts.stages["obfuscate"].is_finished:
        options = chain(_obfuscate(facts.stages["obfuscate"].config), layout)
        found.append(_line("obfuscate PHOTOS -a ANN -o OUT", options))
    if facts.stages["verify"].is_finished:
        options = chain(_verify(facts.stages["verify"].config), layout)
        found.append(_line("verify PHOTOS OUT -a ANN", options))
    return found + study_commands(facts.studied) + attack_commands(facts.attacked)


def _layout(facts: Facts) -> list[tuple[str, object]]:
    """Give the option that names the layout, which nobody can tell from the place alone."""
    inputs = [facts.stages[name].manifest.get("inputs", {}) for name in ("obfuscate", "detect")]
    found = next((each["layout"] for each in inputs if each.get("layout")), "folder")
    return [] if found == "folder" else [("--layout", found)]


def _regions(stage: StageRecord, layout: list[tuple[str, object]]) -> list[str]:
    """Give the commands that made the annotation set; what people do has no command."""
    detection = detection_of(stage.manifest)
    detect = list(chain(_detect(detection), layout)) if detection else []
    if stage.kind == "detect":
        return [_line("detect PHOTOS -o ANN", detect)] if detection else []
    if stage.kind == "import":
        options = [("--format", stage.config.get("format", ""))]
        return [_line("annotations import FILE PHOTOS -o ANN", iter(options))]
    if stage.kind == "look":
        first = [_line("detect PHOTOS -o FOUND", detect)] if detection else []
        look = _line("audit PHOTOS -a FOUND -o AUDIT", _look(stage.config))
        if stage.config.get("nsfw", "none") != "none":
            look += " --nsfw"
        return [*first, look, "cp -r AUDIT/annotations ANN"]
    if not stage.kind.startswith("review"):
        return []
    first = [_line("detect PHOTOS -o FOUND", detect)] if detection else []
    chosen = json.loads(stage.config.get("settings", "{}"))
    pairs = (
        ("--set", f"{name}={','.join(value) if isinstance(value, list) else value}")
        for name, value in chosen.items()
        if name != "instructions"
    )
    return [
        *first,
        _line("review open PHOTOS -a FOUND", pairs),
        "veilset review serve",
        _line("review export -o ANN", iter(())),
    ]


def _line(start: str, options: Iterable[tuple[str, object]]) -> str:
    words = [f"{flag} {shlex.quote(str(value))}" for flag, value in options]
    return " ".join(["veilset", start, *words])


def _detect(config: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    yield "--detector", config.get("detector", "centerface")
    settings = config.get("detector_settings", {})
    for name in _DETECTOR_FLAGS:
        value = settings.get(name)
        if name == "precision" and value is not None:
            # The manifest has the type of number that was used, the flag asks for a kind.
            value = "full" if value in ("full", "f32") else "fast"
        if isinstance(value, (str, int, float)):
            yield f"--{name}", value
    yield from _sizes(config)


def _look(config: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    for name in ("demographics", "classify"):
        yield f"--{name}", config.get(name, "none")
    if config.get("within"):
        yield "--within", config["within"]
    yield from _sizes(config)


def _obfuscate(config: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    method = config.get("method", {})
    yield "--method", method.get("name", "")
    for name, value in method.get("parameters", {}).items():
        yield "--set", f"{name}={str(value).lower() if isinstance(value, bool) else value}"
    for kind in config.get("kinds", ()):
        yield "--kind", kind
    for flag in ("min-score", "metadata", "quality", "seed"):
        if (value := config.get(flag.replace("-", "_"))) is not None:
            yield f"--{flag}", value
    yield from _sizes(config)


def _verify(config: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    first, *others = config.get("detectors", {}) or ["centerface"]
    yield "--detector", first
    for name in ("effort", "leak_score", "recheck", "seed"):
        if isinstance(config.get(name), (str, int, float)):
            yield f"--{name.replace('_', '-')}", config[name]
    for name in others or ["none"]:
        yield "--second", name
    yield from _sizes(config)


def _sizes(config: Mapping[str, Any]) -> Iterator[tuple[str, object]]:
    for name in ("max_pixels", "shard_size"):
        if name in config:
            yield f"--{name.replace('_', '-')}", config[name]
