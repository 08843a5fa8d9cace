# SPDX-License-Identifier: Apache-2.0
"""The verbs, put together."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from veilset.cli import detect, obfuscate, plugins, report, run, verify

app = typer.Typer(
    name="veilset",
    help="Make a folder of photographs private, and prove it.",
    epilog="Exit codes: 0 done; 1 known error; 2 usage; 3 finished, but an image failed or "
    "a leak was found.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.command("run")(run.run)
app.command("detect")(detect.detect)
app.command("obfuscate")(obfuscate.obfuscate)
app.command("verify")(verify.verify)
app.command("report")(report.report)
app.command("plugins")(plugins.plugins)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"veilset {version('veilset')}")
        raise typer.Exit


@app.callback()
def _root(
    _version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    pass
