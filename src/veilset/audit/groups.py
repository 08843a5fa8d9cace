# SPDX-License-Identifier: Apache-2.0
"""The sections of the audit's page about groups of people: who they are, who is missed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from veilset.audit.disparity import OUTCOMES
from veilset.audit.people_tables import by_category_tables, people_warning
from veilset.pages.audit_figures import MAX_ROWS, Figure, figure_card
from veilset.pages.markup import Content, Markup, el, join
from veilset.pages.parts import count, ends_of, note, percent, section, table, told, unbroken

Found = Mapping[str, Any]


def people_section(found: Found, figures: Mapping[str, Figure]) -> Markup | str:
    """Tell the estimated ages and genders, or that they were not estimated."""
    people = found["people"]
    if not found["per_image"]["n_with"]:
        return ""
    if not people["age"] and not people["gender"]:
        text = (
            f"Ages and genders were not estimated: no {found['noun']} region carries the "
            "attributes age or gender. They are if the audit is asked for it (--demographics)."
        )
        return section("people", "Age and gender", note(text))
    parts: list[Content] = [people_warning()]
    drawn = [figure_card(figures[each]) for each in ("age", "gender") if each in figures]
    parts.append(el("div", drawn, class_="figures uneven"))
    if people["age"]:
        rows = [
            (g["group"], g["n"], *_share_cells(g["share"]), *_ranges(g, people["age"]["n_ranged"]))
            for g in people["age"]["groups"]
        ]
        parts.append(
            table(
                f"Estimated age, {people['age']['n']:,} of {people['n_regions']:,} regions; "
                "the range is what the model believes of its own estimate, mostly too narrow",
                ("Age", "Regions", "Share", "95 % interval", "range inside", "range reaches in"),
                rows,
                numbers=(1, 2, 3, 4, 5),
            )
        )
    if people["gender"]:
        rows_gender = [
            (
                g["group"],
                g["n"],
                *_share_cells(g["share"]),
                f"{g['mean_score']:.2f}" if g["mean_score"] is not None else "not told",
            )
            for g in people["gender"]["groups"]
        ]
        parts.append(
            table(
                f"Estimated gender, {people['gender']['n']:,} of {people['n_regions']:,} regions",
                ("Gender", "Regions", "Share", "95 % interval", "Mean probability"),
                rows_gender,
                numbers=(1, 2, 3, 4),
            )
        )
    return section("people", "Age and gender", *parts, *by_category_tables(found))


def _ranges(group: Mapping[str, Any], n_ranged: int) -> tuple[Content, Content]:
    """Tell how sure a group is; estimates without a range say nothing of that."""
    return (group["n_sure"], group["n_possible"]) if n_ranged else ("not told", "not told")


def _share_cells(share: Mapping[str, Any]) -> tuple[str, str]:
    return percent(share["value"]), ends_of(share)


def disparity_section(found: Found, figures: Mapping[str, Figure]) -> Markup | str:
    """Compare groups: are some found, and protected, less than others?"""
    disparity = found["disparity"]
    title = "Does protection differ?"
    if not disparity:
        text = (
            "Not measured. Give a reviewed annotation set (--reference) to see whether some "
            "groups are found less than others."
        )
        return section("disparity", title, note(text))
    overall, judged = disparity["overall"], disparity["judged"]
    parts: list[Content] = [
        el(
            "p",
            unbroken(
                f"Of {count(judged['n_regions'], 'reviewed region')} in "
                f"{count(judged['n_images'], 'image')}, {told(overall['found'])} are found by a "
                f"detection (IoU at least {disparity['iou']:g}), and "
                f"{told(overall['protected'])} are protected: at least "
                f"{100 * disparity['covered']:g} % of their pixels lie under "
                f"detections, enlarged by {100 * disparity['enlarge']:g} % on each side."
            ),
        ),
        note(_method(disparity)),
        *_left_out(judged),
    ]
    drawn = [each for name, each in figures.items() if name.startswith("recall_by_")]
    parts.append(el("div", [figure_card(each) for each in drawn], class_="figures uneven"))
    if any(each["name"] in ("age", "gender") and not each["missing"]
           for each in disparity["groupings"]):  # fmt: skip
        parts.insert(0, people_warning())
    parts += [_grouping(each) for each in disparity["groupings"]]
    return section("disparity", title, *parts)


def _method(disparity: Mapping[str, Any]) -> str:
    return (
        "Each group is compared with all other regions of its grouping; an image with many "
        "regions counts once. p values are corrected for the number of tests in a grouping, both "
        f"outcomes together (Holm). Groups with fewer than {disparity['min_faces']:,} regions, or "
        f"in fewer than {disparity['min_images']:,} images, are shown but not compared: too few. "
        "A difference that is not significant is not shown to be none."
    )


def _left_out(judged: Mapping[str, Any]) -> list[Content]:
    reasons = (
        (judged["n_not_reviewed"], "region", "of the reference that no person has seen"),
        (judged["n_changed"], "image", "whose file is another one in the reference"),
        (judged["n_undecoded"], "image", "that could not be opened for the skin tone proxy"),
    )
    told_ = [f"{count(n, noun)} {why}" for n, noun, why in reasons if n]
    return [note(f"Left out: {', '.join(told_)}.")] if told_ else []


def _grouping(grouping: Mapping[str, Any]) -> Markup:
    if grouping["missing"]:
        return note(grouping["missing"])
    groups = grouping["groups"]
    shown = groups
    title = f"{grouping['title']}: {grouping['n_groups']:,} groups, {grouping['n_tests']:,} tests"
    if len(groups) > MAX_ROWS:
        # Many groups: those that are least protected are what people look for.
        large = [each for each in groups if each["protected_difference"]] or groups
        shown = sorted(large, key=lambda each: (each["protected"]["value"], each["label"]))[:10]
        title += f"; the {len(shown)} least protected that are large enough to compare"
    rows = [
        (
            each["label"],
            each["n_regions"],
            each["n_images"],
            *(
                cell
                for outcome in OUTCOMES
                for cell in (_stacked(each[outcome]), _difference(each[f"{outcome}_difference"]))
            ),
        )
        for each in shown
    ]
    headers = ("Group", "Regions", "Images", "Found", "against the rest", "Protected",
               "against the rest")  # fmt: skip
    unknown = grouping["n_ungrouped"]
    rest = note(f"Of {count(unknown, 'region')} the group is not known.") if unknown else ""
    return join(table(title, headers, rows, numbers=(1, 2, 3, 4, 5, 6)), rest)


def _stacked(share: Mapping[str, Any]) -> Content:
    return join(percent(share["value"]), el("small", ends_of(share), class_="ends"))


def _difference(difference: Mapping[str, Any] | None) -> Content:
    if difference is None:
        return el("span", "too few", class_="small")
    points = f"{100 * difference['value']:+.1f} points".replace("-", "\u2212")
    p = difference["p_corrected"]
    shown = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    text = join(points, el("small", shown, class_="ends"))
    return el("b", text) if p < 0.05 else text
