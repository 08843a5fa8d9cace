# SPDX-License-Identifier: Apache-2.0
"""The audit of what was released, as a section of the report."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from veilset.errors import RunError
from veilset.pages.audit_figures import PEOPLE_LIMIT, Figure, draw_figures, figure_card, key_numbers
from veilset.pages.drawings import CurvePoint
from veilset.pages.markup import Content, Markup, el
from veilset.pages.parts import caution, note, section, unbroken
from veilset.records.audits import AuditRecord, read_audit, read_categories
from veilset.report.facts import StageRecord

_CATEGORIES = ("share_by_category", "share_by_supercategory")
_PEOPLE = ("age", "gender")
_COMPARED = "recall_by_"


@dataclass(frozen=True, slots=True)
class Audited:
    """An audit of the annotation set of a release.

    Attributes:
        record: Its numbers.
        figures: Its figures, by name.
        link: Where its page lies, seen from that of the report; "" if that is too far away to
            be told to whoever gets the report.
    """

    record: AuditRecord
    figures: Mapping[str, Figure]
    link: str


def read_audited(folder: Path, stages: Mapping[str, StageRecord], page: Path) -> Audited:
    """Read an audit that is to be told in a report.

    Args:
        folder: Folder of the audit.
        stages: Records of the release.
        page: The page of the report.

    Raises:
        RunError: If the folder holds no finished audit, or one of another annotation set.
    """
    record = read_audit(folder)
    used = stages["obfuscate"].manifest.get("inputs", {}).get("annotations_sha256")
    released = used or stages["detect"].manifest.get("outputs_sha256", "")
    if not record.is_about(released):
        raise RunError(
            f"The audit {folder} is of another annotation set than this release (its digest "
            f"begins with {record.source_sha256[:12]}, that of the release with "
            f"{released[:12] or 'nothing'}). Audit the set of the release, or leave --audit out."
        )
    points = [CurvePoint(*row) for row in read_categories(folder, record)]
    return Audited(record, draw_figures(record.numbers, points), _link(folder, page))


def _link(folder: Path, page: Path) -> str:
    """Give the way to the audit's page, if it does not lead through folders of the machine."""
    way = Path(os.path.relpath((folder / "index.html").resolve(), page.resolve().parent))
    return "" if way.parts[:2] == ("..", "..") else way.as_posix()


def audit_section(audited: Audited | None) -> Markup | str:
    """Tell who is in the data set; "" without an audit."""
    if audited is None:
        return ""
    record = audited.record
    return section(
        "audit",
        "Who is in the data set",
        el("p", unbroken(record.summary), class_="lede"),
        key_numbers(record.numbers),
        *_drawn(audited),
        note(*_where(audited)),
    )


def _drawn(audited: Audited) -> Iterator[Content]:
    figures = audited.figures
    compared = sorted(name for name in figures if name.startswith(_COMPARED))
    for names in (_CATEGORIES, _PEOPLE, compared):
        shown = [figures[name] for name in names if name in figures]
        if shown and names == _PEOPLE:
            yield caution(PEOPLE_LIMIT)
        if shown:
            cards = [figure_card(each, has_tables=False) for each in shown]
            yield el("div", cards, class_="figures lone" if len(cards) == 1 else "figures uneven")


def _where(audited: Audited) -> Iterator[Content]:
    within = audited.record.numbers["config"]["within"]
    yield "Of the originals, as they were searched"
    yield f", below {within}. " if within else ". "
    if audited.link:
        yield el("a", "The whole audit", href=audited.link)
        yield ": all numbers, tables and limits."
    else:
        yield "All numbers, tables and limits are on the page of the audit itself."


def audit_data(audited: Audited | None) -> dict[str, Any] | None:
    """Give the numbers of the section as JSON values."""
    if audited is None:
        return None
    numbers = audited.record.numbers
    shown = ("data_set", "kind", "annotations", "images", "per_image", "people", "disparity")
    return {"summary": audited.record.summary, **{key: numbers[key] for key in shown}}


def audit_models(audited: Audited | None) -> list[Mapping[str, Any]]:
    """Give the cards of the models that the audit estimated with."""
    look = audited.record.numbers["look"] if audited else None
    return list(look["models"]) if look else []
