# SPDX-License-Identifier: Apache-2.0
"""What was found and what became of the images: the sections of the page with results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from veilset.annotations.store import detection_of
from veilset.pages.figures import (
    Axes,
    Mark,
    bin_label,
    draw_histogram,
    regions_axes,
    score_axes,
    share_bar,
    size_axes,
)
from veilset.pages.histogram import Histogram
from veilset.pages.markup import Content, Markup, el, join
from veilset.pages.parts import (
    card,
    count,
    folded,
    listed,
    name,
    note,
    percent,
    section,
    size,
    table,
)
from veilset.records.verdicts import CODES
from veilset.report.contact_sheet import Thumbnail
from veilset.report.facts import Failures, Finding, FirstOf, Verified
from veilset.report.gather import Facts
from veilset.report.wording import REASONS

_OUTCOMES = (
    ("obfuscated", "Obfuscated", "has regions; they were made unreadable"),
    ("untouched", "Untouched", "was searched, nothing was found; the picture is as it was"),
    ("failed", "Failed", "is not in the output"),
)
_REMOVED = ("removed", "Removed", "was withdrawn from the release, and is not in the output")
_STATUSES = (
    ("found", "Searched, regions found", ""),
    ("none", "Searched, found none", "not the same as: there is none"),
    ("could_not_look", "Could not be searched", "unreadable or refused; see Failures"),
    ("not_looked", "Not searched", "nobody and nothing has looked"),
)
_VERDICTS = (
    ("passed", "Passed", "everything was checked, nothing found"),
    ("review", "To review", "a person should look at it"),
    ("leak", "Leak", "shows or holds what it must not"),
    ("error", "Could not be checked", "counted against the release"),
    ("absent", "Absent", "not in the output, and not meant to be"),
)
_WHOLE = (
    "whole",
    "Tar files, Parquet files, lists",
    "all in them that is no image is as it should be",
)


def images_section(facts: Facts) -> Markup:
    """Tell how many images ended how, stage by stage; the states are never mixed."""
    parts: list[Content] = []
    if facts.searched:
        found = facts.searched
        n_looked = found.statuses["looked"]
        counts = dict(found.statuses) | {
            "found": n_looked - found.n_found_none,
            "none": found.n_found_none,
        }
        parts.append(_states("Search, images", _STATUSES, counts, found.n_images))
    if facts.produced:
        made = facts.produced
        outcomes = (*_OUTCOMES, _REMOVED) if made.outcomes["removed"] else _OUTCOMES
        parts.append(_states("Obfuscation, images", outcomes, made.outcomes, made.n_images))
        if n := made.substituted.total():
            why = ", ".join(f"{n:,} {reason}" for reason, n in made.substituted.most_common())
            of_all = f"{n:,} of {made.n_regions:,} regions"
            parts.append(note(f"Veiled, because the method could not do them: {of_all} ({why})."))
    if facts.verified:
        verdicts = facts.verified.verdicts
        # It also judges what is in the output and should not be, so these are not all images.
        title = "Verification, names in the originals, the output or the record"
        states = (*_VERDICTS, _WHOLE) if verdicts["whole"] else _VERDICTS
        parts.append(_states(title, states, verdicts, verdicts.total()))
    passed_over = facts.stages["detect"].manifest.get("extra", {}).get("ignored") or {}
    if passed_over:
        what = ", ".join(f"{n:,} {why}" for why, n in sorted(passed_over.items()))
        parts.append(note(f"Noted while listing the folder: {what}."))
    return section("images", "Images", *parts)


def _states(stage: str, states: Sequence[tuple[str, str, str]], counts: Any, n: int) -> Markup:
    rows = [
        (
            join(label, el("small", meaning) if meaning else ""),
            counts.get(key, 0),
            percent(counts.get(key, 0) / n) if n else "–",
            share_bar(counts.get(key, 0) / n if n else 0.0),
        )
        for key, label, meaning in states
    ]
    caption = f"{stage}, n = {n:,}"
    inner = table(caption, ("State", "Number", "Share", ""), rows, numbers=(1, 2))
    # Columns of one width, so that the stages can be compared down the page.
    return el("div", inner, class_="states")


def failures_section(facts: Facts) -> Markup | str:
    """Tell what was not processed, why, and what to do."""
    failures = facts.failures
    if failures is None:
        return ""
    if not failures.first.n:
        return section("failures", "Failures", note("None: every image was processed."))
    stage = "obfuscate" if facts.produced else "annotations"
    rows = [
        (el("code", reason), *_meaning(reason), n)
        for reason, n in sorted(failures.by_reason.items(), key=lambda item: (-item[1], item[0]))
    ]
    return section(
        "failures",
        "Failures",
        note("None of these is in the output: never the original in its place."),
        table(
            f"Images that were not processed, by reason, n = {failures.first.n:,}",
            ("Reason", "What it means", "What to do", "Images"),
            rows,
            numbers=(3,),
        ),
        _failure_list(failures, f"{stage}/shard-*.parquet"),
    )


def _meaning(reason: str) -> tuple[str, str]:
    return REASONS.get(reason, ("Not a reason that this version knows", "See its message below."))


def _failure_list(failures: Failures, where: str) -> Markup:
    first = failures.first
    rows = [(name(item.image_id), el("code", item.reason), item.message) for item in first.items]
    return folded(
        f"Which images ({len(first.items):,} of {first.n:,})",
        table("Images that were not processed", ("Image", "Reason", "Message"), rows),
        listed(len(first.items), first.n, where),
    )


def verification_section(facts: Facts, not_verified: str) -> Markup:
    """Tell what verification found, or plainly that there was none.

    Args:
        facts: What is known.
        not_verified: Why there is nothing to tell, for that case.
    """
    verified = facts.verified
    if verified is None:
        return section("verification", "Verification", note(not_verified))
    return section(
        "verification",
        "Verification",
        _findings(verified),
        *_found_list("Leaks, and what could not be checked", verified.against, is_open=True),
        *_found_list("For people to review", verified.to_review),
        _second_look(verified),
        _measurements(facts),
    )


def _findings(verified: Verified) -> Markup:
    if not verified.findings:
        return note(f"Nothing was found in {count(verified.n_checked, 'file')}.")
    order = {"leak": 0, "error": 1, "review": 2}
    rows = [
        (
            el("span", level, class_=f"chip {level}"),
            el("code", code),
            CODES.get(code, "Not a kind of finding that this version knows."),
            n,
        )
        for (level, code), n in sorted(
            verified.findings.items(), key=lambda item: (order.get(item[0][0], 3), item[0][1])
        )
    ]
    n_findings = sum(verified.findings.values())
    caption = (
        f"Findings by kind, n = {n_findings:,}; files that were checked: {verified.n_checked:,}"
    )
    return table(caption, ("Level", "Kind", "What it means", "Findings"), rows, numbers=(3,))


def _found_list(title: str, found: FirstOf[Finding], *, is_open: bool = False) -> Iterator[Content]:
    if not found.n:
        return
    rows = [
        (
            name(item.image_id),
            el("code", item.code),
            item.message,
            ", ".join(f"{edge:.0f}" for edge in item.box_xyxy) if item.box_xyxy else "",
            f"{item.score:.2f}" if item.score is not None else "",
            item.detector,
        )
        for item in found.items
    ]
    yield folded(
        f"{title} ({len(found.items):,} of {found.n:,})",
        el(
            "div",
            table(
                f"{title}; boxes are x0 y0 x1 y1 in pixels. No picture is shown, on purpose.",
                ("Image", "Kind", "Message", "Box", "Score", "Detector"),
                rows,
                numbers=(3, 4),
            ),
            class_="found",
        ),
        listed(len(found.items), found.n, "verify/shard-*.parquet"),
        is_open=is_open,
    )


def _second_look(verified: Verified) -> Markup:
    why = {
        "touched": "because they have obfuscated regions",
        "sample": "as a random sample of the untouched ones",
        "all": "because all were to be searched",
    }
    told = [
        f"{n:,} {why.get(key, key)}"
        for key, n in sorted(verified.looked_again.items())
        if key and n
    ]
    not_again = verified.looked_again[""]
    text = f"Searched again by detectors: {', '.join(told) or 'none'}."
    if not_again:
        text += f" Not searched again, only compared: {not_again:,}."
    if verified.n_still_detected:
        text += (
            f" Detections inside obfuscated regions: {verified.n_still_detected:,}. A detector may "
            "still see that there is a face; the contract limits what is left of it."
        )
    if verified.n_drawn_detected:
        text += (
            f" Detections inside drawn faces: {verified.n_drawn_detected:,}. The method puts "
            "something there that looks like a face, so they tell nothing of the original."
        )
    return note(text)


def measurements_of(facts: Facts) -> list[dict[str, Any]]:
    """Give the measurements of the verification: estimates with ``n`` and an interval."""
    if facts.verified is None:
        return []
    found = facts.stages["verify"].manifest.get("extra", {}).get("measurements", [])
    return [item for item in found if {"name", "value", "low", "high", "n"} <= item.keys()]


def _measurements(facts: Facts) -> Markup | str:
    rows = [
        (
            item["name"],
            _quantity(item["value"], item),
            f"{_quantity(item['low'], item)} to {_quantity(item['high'], item)}",
            int(item["n"]),
        )
        for item in measurements_of(facts)
    ]
    if not rows:
        return ""
    return table(
        "Estimates, with 95 % interval and number of observations",
        ("Measurement", "Estimate", "95 % interval", "n"),
        rows,
        numbers=(1, 2, 3),
    )


def _quantity(value: float, item: dict[str, Any]) -> str:
    unit = str(item.get("unit") or "")
    return f"{value:.4g} {unit}" if unit else f"{100 * value:.2f} %"


def sheet_section(facts: Facts, thumbnails: Sequence[Thumbnail]) -> Markup:
    """Show outputs that passed verification, and nothing else."""
    if facts.verified is None:
        text = "No picture is shown: this page shows outputs only after they passed verification."
        return section("outputs", "Outputs", note(text))
    if not thumbnails:
        text = "No picture is shown: no output with obfuscated regions passed verification."
        return section("outputs", "Outputs", note(text))
    figures = [
        el(
            "figure",
            el(
                "img",
                src=each.data_uri,
                width=each.width,
                height=each.height,
                alt=f"Output {each.image_id}, {count(each.n_regions, 'region')} obfuscated",
            ),
            el("figcaption", el("span", each.image_id, title=each.image_id), each.n_regions),
        )
        for each in thumbnails
    ]
    return section(
        "outputs",
        "Outputs",
        note(
            f"{count(len(thumbnails), 'output')} with obfuscated regions, drawn by the digest of "
            "their names from those that passed verification, with the number of regions in "
            "each. No original, and no image with an open finding, is in this page."
        ),
        el("div", *figures, class_="sheet"),
    )


def regions_section(facts: Facts) -> Markup | str:
    """Draw the sizes, scores and numbers of regions."""
    found = facts.searched
    if found is None:
        return ""
    if not found.n_regions:
        text = f"No region was found in {count(found.statuses['looked'], 'image')} searched."
        return section("regions", "Regions", note(text))
    kinds = ", ".join(f"{n:,} of kind {kind}" for kind, n in sorted(found.kinds.items()))
    figures = [
        _figure("Size of regions", found.face_size_px, size_axes(found.face_size_px)),
        _figure("Score of the detector", found.score, score_axes(found.score), _thresholds(facts)),
        _figure("Regions in an image", found.per_image, regions_axes(found.per_image), whole=True),
    ]
    if facts.verified and facts.verified.survival.n:
        survival = facts.verified.survival
        axes = Axes(
            0,
            20,
            score_axes(survival).ticks,
            "largest share left in a region of the image",
            "images",
        )
        figures.append(_figure("Detail left in regions", survival, axes, _contract(facts)))
    return section(
        "regions",
        "Regions",
        note(f"Regions found: {kinds}. These are counts of what was found, not estimates."),
        el("div", *figures, class_="figures"),
    )


def _thresholds(facts: Facts) -> list[Mark]:
    marks = []
    found = (
        detection_of(facts.stages["detect"].manifest).get("detector_settings", {}).get("threshold")
    )
    if isinstance(found, (int, float)):
        marks.append(Mark(20 * found, f"detected from {found:g}"))
    hidden = facts.stages["obfuscate"].config.get("min_score")
    if hidden:
        marks.append(Mark(20 * hidden, f"hidden from {hidden:g}"))
    return marks


def _contract(facts: Facts) -> list[Mark]:
    limit = facts.stages["obfuscate"].config.get("method", {}).get("max_survival")
    return [Mark(20 * limit, f"contract {limit:g}")] if isinstance(limit, (int, float)) else []


def _figure(
    title: str, histogram: Histogram, axes: Axes, marks: Sequence[Mark] = (), *, whole: bool = False
) -> Markup:
    if not histogram.n:
        return card(title, note("No value was recorded."))
    rows = [
        (_bin_name(histogram, i, whole=whole), histogram.counts[i])
        for i in range(axes.first, axes.last)
    ]
    return card(
        join(title, el("small", f"n = {histogram.n:,}")),
        draw_histogram(histogram, axes, title, marks),
        folded("Numbers", table(axes.x_label, ("From – to", axes.y_label), rows, numbers=(1,))),
    )


def _bin_name(histogram: Histogram, i: int, *, whole: bool) -> str:
    if whole:
        return bin_label(histogram, i)
    return f"{histogram.edges[i]:.3g} – {histogram.edges[i + 1]:.3g}"


def output_size(facts: Facts) -> str:
    """Give the size of the output, "" without one."""
    return size(facts.produced.n_bytes) if facts.produced else ""
