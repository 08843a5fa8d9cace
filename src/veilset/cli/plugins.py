# SPDX-License-Identifier: Apache-2.0
"""``veilset plugins``."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from veilset.cli import options as opt
from veilset.cli.talk import give
from veilset.errors import ConfigError
from veilset.plugins import GROUPS, list_plugins


def plugins(
    kind: Annotated[
        str | None,
        typer.Option(
            help="detector, obfuscator, engine, face-estimator, classifier or recogniser; all "
            "if not given."
        ),
    ] = None,
    as_json: opt.Json = False,
) -> None:
    """List detectors, obfuscators and other plugins, with the package that brings each."""
    if kind is not None and kind not in GROUPS:
        raise ConfigError(f"There are no plugins of kind {kind!r}. Choose: {', '.join(GROUPS)}.")
    found = list_plugins(kind)
    if as_json:
        give([asdict(info) for info in found])
        return
    rows = [(info.kind, info.name, info.package, info.target) for info in found]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        give("  ".join(cells).rstrip())
