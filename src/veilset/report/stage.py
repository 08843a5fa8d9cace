# SPDX-License-Identifier: Apache-2.0
"""Report: the records of a release in, one page that says what it is worth out."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from veilset.dataset.locations import Location, local_path, location_of
from veilset.dataset.stores import open_store
from veilset.errors import ConfigError, RunError
from veilset.files import write_atomically
from veilset.records.places import record_folder
from veilset.report.attacked import read_attacked
from veilset.report.audited import read_audited
from veilset.report.contact_sheet import make_thumbnails
from veilset.report.data import FORMAT, render_data
from veilset.report.gather import Limits, gather
from veilset.report.pages import render_page
from veilset.report.studied import read_studied
from veilset.report.wording import headline
from veilset.runs import make_folder

__all__ = ["ReportConfig", "write_report"]

# An output that is gone or too large for the sheet is replaced from as many in reserve.
_RESERVE = 2


@dataclass(frozen=True, slots=True)
class ReportConfig:
    """What a report holds.

    Attributes:
        n_thumbnails: Pictures on the contact sheet, 0 to 60.
        n_listed: Entries of each list on the page, 0 to 2000; the rest is counted.

    Raises:
        ConfigError: If a value cannot be used.
    """

    n_thumbnails: int = 24
    n_listed: int = 200

    def __post_init__(self) -> None:
        for name, highest in (("n_thumbnails", 60), ("n_listed", 2000)):
            value = getattr(self, name)
            if not 0 <= value <= highest:
                raise ConfigError(f"{name} is {value}. Give a whole number from 0 to {highest}.")


def write_report(
    out: str | Path,
    annotations: str | Path | None = None,
    record: str | Path | None = None,
    page: str | Path | None = None,
    config: ReportConfig | None = None,
    *,
    audit: str | Path | None = None,
    study: str | Path | None = None,
    attack: str | Path | None = None,
) -> Path:
    """Write the report of a release: one self-contained HTML page, and its numbers as JSON.

    It reads records and outputs, never an original: it is not even told where they are.
    The same records give the same bytes. A stage that is not on record is said to be
    missing; what was not verified is never said to have passed.

    Args:
        out: The output folder of the release.
        annotations: Its annotation set; None for ``annotations`` in the folder of records.
        record: Folder of records; None for ``OUT.veilset``, beside ``out``.
        page: The page to write; None for ``report.html`` in the folder of records. The
            numbers go beside it, under the same name with ``.json``.
        config: Settings; None for the defaults.
        audit: Folder of an audit of the same annotation set, whose numbers and figures the page
            is to tell; None for none.
        study: Folder of an evaluated study in which the release is a setting; None for none.
        attack: Folder of an attack on the method of the release; None for none.

    Returns:
        The path of the page.

    Raises:
        RunError: If no stage is on record, the audit is of another set, the study of other
            images, the attack on another method, or the page cannot be written or would take the
            place of a file that is no report.
        AnnotationError: If the annotation set is missing or not that of the release.
        DatasetError: If a table of the records is damaged.
    """
    config = config or ReportConfig()
    out = location_of(out)
    record = local_path(record, "The record") if record else record_folder(out)
    page = Path(page) if page else record / "report.html"
    _check_page(page, out)
    _refuse_foreign_files(page)
    limits = Limits(config.n_listed, _RESERVE * config.n_thumbnails)
    facts = gather(out, Path(annotations) if annotations else None, record, limits)
    if audit is not None:
        facts = replace(facts, audited=read_audited(Path(audit), facts.stages, page))
    if study is not None:
        facts = replace(facts, studied=read_studied(Path(study), out))
    if attack is not None:
        method = facts.stages["obfuscate"].config.get("method", {})
        facts = replace(facts, attacked=read_attacked(Path(attack), method))
    verdict = headline(facts)
    candidates = facts.verified.sheet if facts.verified else []
    thumbnails = make_thumbnails(out, candidates, config.n_thumbnails)
    make_folder(page.parent)
    _write(page.with_suffix(".json"), render_data(facts, verdict, thumbnails))
    _write(page, render_page(facts, verdict, thumbnails))
    return page


def _check_page(page: Path, out: Location) -> None:
    if page.resolve().is_relative_to(open_store(out).describe()):
        raise RunError(
            f"The report {page} would lie in the output {out} and be published with it. "
            "Choose a place outside."
        )
    if page.suffix.lower() not in (".html", ".htm"):
        raise RunError(f"The report {page} is an HTML page. Give it a name that ends in .html.")


def _refuse_foreign_files(page: Path) -> None:
    """Write over an earlier report, and over nothing else: it is told by its numbers."""
    numbers = page.with_suffix(".json")
    there = next((path for path in (page, numbers) if path.exists()), None)
    if there is not None and not _is_report(numbers):
        raise RunError(
            f"{there} is there, and is no report of Veilset. Delete it, or choose another place."
        )


def _is_report(numbers: Path) -> bool:
    try:
        found = json.loads(numbers.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    told = str(found.get("format")) if isinstance(found, dict) else ""
    return told.startswith(FORMAT.partition("/")[0])


def _write(path: Path, data: bytes) -> None:
    try:
        write_atomically(path, data)
    except OSError as error:
        raise RunError(
            f"{path} cannot be written ({error.strerror}). Choose a place where you may write."
        ) from error
