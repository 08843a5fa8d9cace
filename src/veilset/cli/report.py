# SPDX-License-Identifier: Apache-2.0
"""``veilset report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from veilset.cli import options as opt
from veilset.cli.talk import give


def report(
    out: opt.Out,
    annotations: Annotated[
        Path | None,
        typer.Option(
            "--annotations", "-a", help="Annotation set of OUT; that of its record if not given."
        ),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option("--page", "-o", help="The page; report.html in the record if not given."),
    ] = None,
    audit: Annotated[
        Path | None,
        typer.Option(help="Audit of the same annotation set, to be told on the page."),
    ] = None,
    study: Annotated[
        Path | None,
        typer.Option(help="Evaluated study that has OUT as a setting, to be told on the page."),
    ] = None,
    attack: Annotated[
        Path | None,
        typer.Option(help="Attack on the method that made OUT, to be told on the page."),
    ] = None,
    record: opt.Record = None,
) -> None:
    """Write the page about a release: what was done, with what, and what came out."""
    from veilset.report.stage import write_report

    give(str(write_report(out, annotations, record, page, audit=audit, study=study, attack=attack)))
