# SPDX-License-Identifier: Apache-2.0
"""What the command line says: data on stdout, progress and talk on stderr."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import typer

from veilset.engine.drive import Progress
from veilset.engine.steps import find_slow_step
from veilset.files import finite
from veilset.pages.markup import visible
from veilset.runs import RunSummary

EXIT_INCOMPLETE = 3
"""Finished, but an image failed or a leak was found."""

_VERDICTS = {
    "leak": "leak",
    "error": "could not be checked",
    "review": "to review",
    "passed": "passed",
    "whole": "whole",
    "absent": "absent",
    "reused": "reused",
}
_FINDING = "finding "
_EVERY_S_TERMINAL = 0.1
_EVERY_S_FILE = 10.0


def say(text: str) -> None:
    """Tell people something, in one line: a name in it cannot forge another."""
    print(visible(text), file=sys.stderr)  # noqa: T201  where verbs talk


def give(data: object) -> None:
    """Print data: a text as it is, anything else as one line of JSON, null if it is not finite."""
    is_text = isinstance(data, str)
    line = (
        data
        if is_text
        else json.dumps(finite(data), ensure_ascii=False, sort_keys=True, allow_nan=False)
    )
    print(line)  # noqa: T201  where verbs give data


def summary_json(summary: RunSummary) -> dict[str, Any]:
    """Give a summary as JSON values."""
    return asdict(summary) | {"folder": str(summary.folder)}


def counts_line(counts: Mapping[str, int]) -> str:
    """Give counts as people read them, in the order in which they come."""
    return ", ".join(
        f"{value:,} {name.removeprefix('n_').replace('_', ' ')}" for name, value in counts.items()
    )


def conclude(summary: RunSummary, *, place: Path | str, as_json: bool, bad: Iterable[str]) -> None:
    """Give the result of a stage, say its counts, and end.

    Args:
        summary: What the stage came to.
        place: What it made; printed.
        as_json: Whether the result is printed as JSON instead.
        bad: Counts that must be 0 for the verb to end well.

    Raises:
        typer.Exit: With ``EXIT_INCOMPLETE`` if one is not.
    """
    give(summary_json(summary) if as_json else str(place))
    say_result(summary)
    if any(summary.counts.get(name) for name in bad):
        raise typer.Exit(EXIT_INCOMPLETE)


def say_result(summary: RunSummary) -> None:
    """Say what a stage came to, how long it took, and what held it up."""
    # Here, since it loads the library of the tables, which a stage that has ended did as well.
    from veilset.records.outcomes import BECAUSE, SUBSTITUTED, substitution_reasons

    counts = summary.counts
    shown = {name: n for name, n in counts.items() if not name.startswith((SUBSTITUTED, BECAUSE))}
    say(f"{summary.stage}: {counts_line(shown)}")
    if n := counts.get(SUBSTITUTED):
        why = counts_line(substitution_reasons(counts))
        say(f"{summary.stage}: {n:,} of {counts['n_regions']:,} regions veiled instead: {why}")
    _say_time(summary)


def say_verified(summary: RunSummary) -> None:
    """Say what verification came to, the worst first; its counts are all in ``run.json``."""
    counts = summary.counts
    parts = [
        ", ".join(f"{counts[key]:,} {word}" for key, word in _VERDICTS.items() if key in counts)
    ]
    if n := sum(value for key, value in counts.items() if key.startswith("searched_")):
        parts.append(f"{n:,} searched again")
    found = {key.removeprefix(_FINDING): n for key, n in counts.items() if key.startswith(_FINDING)}
    if found:
        parts.append(", ".join(f"{code} in {n:,}" for code, n in Counter(found).most_common()))
    say(f"{summary.stage}: {'; '.join(parts)}")
    _say_time(summary)
    where = "The report (veilset report) lists them."
    if n := counts.get("leak", 0) + counts.get("error", 0):
        say(f"A leak, or could not be checked: {n:,}. Do not publish. {where}")
    else:
        say("No leak was found in the output. Read the report's limits before you publish.")
    if n := counts.get("review", 0):
        say(f"For people to look at before you publish: {n:,}. {where}")


def _say_time(summary: RunSummary) -> None:
    if slow := find_slow_step(summary.seconds):
        say(f"{summary.stage}: {summary.wall_s:,.1f} s, {slow}")


class ProgressLine:
    """Draws how far a stage is: a line that renews itself on a terminal, else now and then.

    Use it in a ``with`` block; the line ends with the block.
    """

    def __init__(self, *, quiet: bool) -> None:
        self._quiet = quiet
        self._is_terminal = sys.stderr.isatty()
        self._started = time.monotonic()
        self._shown_at = 0.0 if self._is_terminal else self._started
        self._last = ""

    def __call__(self, progress: Progress) -> None:
        """Show the progress, if it is time to."""
        if self._is_time(is_last=progress.n_done == progress.n_total):
            self._show(_text(progress, self._shown_at - self._started))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.end_line()

    def end_line(self) -> None:
        """Leave the line as it is; what comes next begins a new one."""
        if self._is_terminal and self._last:
            sys.stderr.write("\n")
        self._last = ""

    def say_step(self, text: str) -> None:
        """Say what is done next, if progress is shown at all."""
        if not self._quiet:
            self.end_line()
            say(text)

    def _is_time(self, *, is_last: bool = False) -> bool:
        """Say whether to show how far it is; if so, it counts as shown now."""
        now = time.monotonic()
        every = _EVERY_S_TERMINAL if self._is_terminal else _EVERY_S_FILE
        if self._quiet or (now - self._shown_at < every and not is_last):
            return False
        self._shown_at = now
        return True

    def _show(self, text: str) -> None:
        if self._is_terminal:
            sys.stderr.write("\r" + text.ljust(len(self._last)))
            sys.stderr.flush()
            self._last = text
        else:
            say(text)


def _text(progress: Progress, seconds: float) -> str:
    n_new = progress.n_done - progress.n_resumed
    rate = n_new / seconds if seconds > 0 else 0.0
    speed = f"{rate:.1f}/s" if rate >= 0.1 else f"{rate:.1g}/s"
    failed = f", {progress.n_failed:,} failed" if progress.n_failed else ""
    if not progress.n_total:
        return f"{progress.stage:<9} {progress.n_done:,} images, {speed}{failed}"
    left_s = max(0, progress.n_total - progress.n_done) / rate if rate else 0.0
    return (
        f"{progress.stage:<9} {progress.n_done / progress.n_total:4.0%}  {progress.n_done:,} of "
        f"{progress.n_total:,} images, {speed}, {_clock(left_s)} left{failed}"
    )


def _clock(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
