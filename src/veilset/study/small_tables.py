# SPDX-License-Identifier: Apache-2.0
"""The table on small faces beside a large one: our question to "blur hardly hurts"."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from veilset.study.facts import ImageFacts
from veilset.study.found import Found
from veilset.study.scores import METRIC_NAMES, METRICS, Question
from veilset.study.small_faces import (
    ALIKE,
    CUTS,
    GROUPS,
    ONE,
    SMALL,
    Contrast,
    Explained,
    contrast,
    explained,
    group_of,
)
from veilset.study.tables import Cell, Column, Table, count_column, interval_cell, text_column

BoolVector = NDArray[np.bool_]
FloatMatrix = NDArray[np.float64]

_NEEDED = ("released", "per_face")

_COLUMNS = (
    Column("cut", "small below", "", 2),
    text_column("metric", "metric"),
    text_column("question", "question"),
    Column("value", "value", "%", 2),
    Column("over_images", "95 % over images", "%", 2, "interval"),
    Column("over_trainings", "95 % over trainings", "%", 2, "interval"),
    Column("detectable", "would have shown", "%", 2),
    count_column("n_images", "images"),
    count_column("n_seeds", "seeds"),
    text_column("answer", "answer"),
)

_HOW = (
    "Averaged over networks. A face is small if its longer side is below that part of the "
    "largest one's. C1: what the blur of each face costs more than the published blur. C2: C1 "
    "where small faces lie beside a large one, minus C1 where there is one face. If the "
    "published blur is harmless because it spares small faces, C1 and C2 are above 0. 'Would "
    "have shown': the least difference that these images would have shown 4 times of 5."
)


def groups_of(facts: ImageFacts, cut: float = CUTS[0]) -> tuple[str, ...]:
    """Name the group of each image; "" where nobody looked."""
    return tuple(
        group_of(int(n), None if np.isnan(relative) else float(relative), cut) if looked else ""
        for looked, n, relative in zip(
            facts.is_looked, facts.n_faces, facts.smallest_relative, strict=True
        )
    )


def small_faces_table(found: Found) -> Table:
    """Give the contrasts between the published blur and a blur of each face.

    A table without rows says in its note why there are none.
    """
    title = "Small faces beside a large one"
    facts, reason = found.facts, _why_not(found)
    if facts is None or reason:
        return Table("small_faces", title, f"Left out: {reason}", _COLUMNS, ())
    rows: list[dict[str, Cell]] = []
    for cut in CUTS:
        groups = np.array(groups_of(facts, cut))
        for metric in METRICS:
            if found.scores.has(metric):
                rows += list(_rows(found, metric, cut, groups))
    counted = ", ".join(
        f"{int((np.array(groups_of(facts)) == group).sum())} {group}" for group in GROUPS
    )
    roles = ", ".join(f"{role}: {name}" for role, name in found.roles.items())
    asked = [Question(name, name) for name in found.roles.values()]
    note = f"{_HOW} Images: {counted}. {roles}. {found.missing_note(asked)}".strip()
    return Table("small_faces", title, note, _COLUMNS, tuple(rows))


def _why_not(found: Found) -> str:
    if found.facts is None:
        return "there are no annotations (data.annotations)."
    if missing := [role for role in _NEEDED if role not in found.roles]:
        return f"no setting is {' and none '.join(missing)} (roles in study.yaml)."
    if not any(group == SMALL for group in groups_of(found.facts, CUTS[-1])):
        return "no test image has a small face beside a large one."
    return ""


def _right(found: Found, role: str, seeds: tuple[int, ...], metric: str) -> FloatMatrix | None:
    setting = found.roles.get(role)
    if setting is None:
        return None
    question = Question(setting, setting)
    return found.scores.correct(found.scores.networks, question, seeds, metric)


def _rows(
    found: Found, metric: str, cut: float, groups: NDArray[np.str_]
) -> Iterator[dict[str, Cell]]:
    roles = [*_NEEDED, *(["overlay"] if "overlay" in found.roles else [])]
    questions = [Question(found.roles[role], found.roles[role]) for role in roles]
    seeds = found.scores.seeds(found.scores.networks, questions)
    released, per_face = (_right(found, role, seeds, metric) for role in _NEEDED)
    start: dict[str, Cell] = {"cut": cut, "metric": METRIC_NAMES[metric]}
    if not seeds or released is None or per_face is None:
        yield start | {"question": "C1", "answer": "no seed has all of these runs"}
        return
    difference = released - per_face
    one, small = groups == ONE, groups == SMALL
    asked = [(f"C1, {name}", groups == name, None) for name in (ONE, ALIKE, SMALL)]
    for question, images, minus in [*asked, ("C2", small, one)]:
        given = contrast(
            difference, found.scores.labels, images, minus=minus,
            n_resamples=found.n_resamples, rng=found.rng("small", question, metric, str(cut)),
        )  # fmt: skip
        yield start | {"question": question, **_contrast_cells(given)}
    cover = _right(found, "overlay", seeds, metric)
    if cover is not None:
        share = explained(
            released, per_face, cover, found.scores.labels,
            {SMALL: small, "faces": one | small | (groups == ALIKE)},
            n_resamples=found.n_resamples, rng=found.rng("small", "share", metric, str(cut)),
        )  # fmt: skip
        yield start | {"question": "share explained", **_share_cells(share, len(seeds))}


def _contrast_cells(given: Contrast | None) -> dict[str, Cell]:
    if given is None:
        return {"answer": "no image"}
    return {
        "value": given.value,
        "over_images": interval_cell(given.over_images),
        "over_trainings": interval_cell(given.over_trainings),
        "detectable": given.detectable,
        "n_images": given.n_images,
        "n_seeds": given.n_seeds,
        "answer": given.verdict,
    }


def _share_cells(given: Explained | None, n_seeds: int) -> dict[str, Cell]:
    if given is None:
        return {"answer": "no image"}
    counts: dict[str, Cell] = {"n_images": given.n_images, "n_seeds": n_seeds}
    if given.share is None:
        return counts | {"answer": "cannot tell: a full cover costs no more, as far as is seen"}
    return counts | {
        "value": given.share,
        "over_images": interval_cell(given.interval),
        "answer": f"of {100 * given.whole:.2f} points",
    }
