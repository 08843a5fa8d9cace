# SPDX-License-Identifier: Apache-2.0
"""The verbs, put together."""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from veilset.cli import (
    STOPPED,
    annotation_files,
    attack,
    audit,
    detect,
    layer,
    obfuscate,
    plugins,
    remove,
    report,
    review,
    run,
    study,
    synthesize,
    turk,
    verify,
)
from veilset.cli.talk import say


class _Verbs(TyperGroup):
    """Typer by itself ends without a word at Ctrl+C."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt as error:
            say(f"veilset: {STOPPED}")
            raise typer.Exit(130) from error


app = typer.Typer(
    name="veilset",
    cls=_Verbs,
    help="Make a folder of photographs private, and prove it.",
    epilog="Exit codes: 0 done; 1 known error; 2 usage; 3 finished, but an image failed or "
    "a leak was found; 130 stopped with Ctrl+C, the same command goes on.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

VERBS: dict[str, Callable[..., None]] = {
    "run": run.run,
    "detect": detect.detect,
    "obfuscate": obfuscate.obfuscate,
    "verify": verify.verify,
    "layer": layer.layer,
    "audit": audit.audit,
    "report": report.report,
    "remove": remove.remove,
    "plugins": plugins.plugins,
}
for _name, _verb in VERBS.items():
    app.command(_name)(_verb)

review.app.add_typer(turk.app)
GROUPS: dict[str, typer.Typer] = {
    "review": review.app,
    "annotations": annotation_files.app,
    "study": study.app,
    "attack": attack.app,
    "synthesize": synthesize.app,
}
for _name, _group in GROUPS.items():
    app.add_typer(_group, name=_name)


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
