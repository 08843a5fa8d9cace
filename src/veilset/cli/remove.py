# SPDX-License-Identifier: Apache-2.0
"""``veilset remove``."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from veilset.cli import options as opt
from veilset.cli.talk import give, say
from veilset.errors import ConfigError

if TYPE_CHECKING:
    from veilset.remove.stage import RemovalSummary


def remove(
    out: Annotated[
        str, typer.Argument(help="The release, output of obfuscate or run: folder or URL.")
    ],
    image: Annotated[
        list[str] | None,
        typer.Option(help="Name of an image (image_id); may be repeated."),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option("--list", help="Text file with a name on each line; # begins a comment."),
    ] = None,
    sha256: Annotated[
        list[str] | None,
        typer.Option(
            "--sha256", help="Digest of an original or of a released file; may be repeated."
        ),
    ] = None,
    with_kind: Annotated[
        list[str] | None,
        typer.Option(
            help="All images with a region of this kind in --annotations; may be repeated."
        ),
    ] = None,
    annotations: Annotated[
        Path | None,
        typer.Option("--annotations", "-a", help="Annotation set that --with-kind looks into."),
    ] = None,
    reason: Annotated[
        str, typer.Option(help="Why, in one line, for the log. Name no person.")
    ] = "",
    record: opt.Record = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would go; change nothing.")
    ] = False,
    as_json: opt.Json = False,
) -> None:
    """Withdraw images from a finished release, for good.

    Without an image, a removal that was interrupted is finished.
    """
    from veilset.remove.stage import RemoveConfig, remove_images

    config = RemoveConfig(
        reason=reason,
        image_ids=(*(image or ()), *(_read_names(names) if names else ())),
        sha256=tuple(digest.lower() for digest in sha256 or ()),
        kinds=tuple(with_kind or ()),
        annotations=annotations,
    )
    _tell(remove_images(out, config, record=record, dry_run=dry_run), as_json=as_json)


def _read_names(path: Path) -> list[str]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"The list {path} cannot be read ({error}). Give a UTF-8 text file."
        ) from error
    names = [line for line in lines if line.strip() and not line.startswith("#")]
    if not names:
        raise ConfigError(f"The list {path} names no image. Put one name on each line.")
    return names


def _tell(summary: RemovalSummary, *, as_json: bool) -> None:
    """Give the result, and say what it means."""
    from veilset.pages.markup import visible

    if as_json:
        places = {"out": str(summary.out), "record": str(summary.record)}
        give(asdict(summary) | places | {"because_of": dict(summary.because_of)})
    else:
        for name in (*summary.image_ids, *(name for name, _ in summary.because_of)):
            # A name that ends a line would forge the next; --json has it as it is.
            give(visible(name))
    n, n_more, n_already = map(len, (summary.image_ids, summary.because_of, summary.already))
    if summary.is_dry_run:
        say(f"remove: {n:,} images would go, {n_already:,} are gone already; nothing was changed")
        return
    say(f"remove: {n:,} images withdrawn, {n_more:,} more of their samples, {n_already:,} before")
    if summary.manifest_sha256:
        say(f"The release manifest is now {summary.manifest_sha256}. Publish it with the release.")
    elif n:
        say("The release has no verification that speaks of it. Run veilset verify.")
