# SPDX-License-Identifier: Apache-2.0
"""The sections of the audit's page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from veilset.audit.config import FOLDER_RULES
from veilset.audit.people import HOW_WRONG
from veilset.pages.audit_figures import MAX_ROWS, Figure, figure_card
from veilset.pages.figures import share_bar
from veilset.pages.markup import Content, Markup, el, join
from veilset.pages.parts import (
    count,
    ends_of,
    folded,
    note,
    percent,
    section,
    table,
    told,
    unbroken,
)

Found = Mapping[str, Any]


def regions_section(found: Found, figures: Mapping[str, Figure]) -> Markup:
    """Tell in how many images how many regions are."""
    counted = found["per_image"]
    if not counted["n_looked"]:
        text = "No image was searched. Run detect, then audit again."
        return section("regions", "How many", note(text))
    if not counted["n_with"]:
        text = (
            f"No {found['noun']} was found in {count(counted['n_looked'], 'searched image')}. With "
            f"as many images and none found, the true share of images in which such a detector "
            f"finds one is at most {percent(counted['share_with']['high'])} (95 %)."
        )
        return section("regions", "How many", note(text))
    few, mean = counted["share_few"], counted["mean"]
    text = (
        f"{told(counted['share_with'])} of the searched images hold a {found['noun']}; of those, "
        f"{told(few)} hold fewer than 5. A searched image holds "
        f"{mean['value']:.3g} {found['plural']} on average ({mean['low']:.3g} to "
        f"{mean['high']:.3g})."
    )
    return section(
        "regions",
        "How many",
        el("p", unbroken(text)),
        el(
            "div",
            [figure_card(figures[each]) for each in _NUMBER_FIGURES if each in figures],
            class_="figures",
        ),
        *_people(found["persons"]),
    )


def _people(counted: Mapping[str, Any] | None) -> list[Content]:
    """Tell how many people are in how many images, and how wrong such a count is."""
    if not counted:
        return []
    rows = [
        (
            each["people"],
            each["n_images"],
            _with_interval({**each["share"], "share": each["share"]["value"]}),
            share_bar(each["share"]["value"]),
        )
        for each in counted["shares"]
    ]
    by = "their faces"
    if counted["has_person_regions"]:
        by = "regions of kind person and the faces outside them"
    caption = (
        f"How many people: {counted['n_people']:,} in {count(counted['n_looked'], 'image')}, "
        f"counted by {by}"
    )
    return [
        table(caption, ("People", "Images", "Share", ""), rows, numbers=(1, 2)),
        note(unbroken(HOW_WRONG)),
    ]


_NUMBER_FIGURES = ("share_by_category", "regions_in_image")


def categories_section(found: Found, figures: Mapping[str, Figure]) -> Markup:
    """Tell which categories have regions in most and in fewest of their images."""
    categories = found["categories"]
    if not categories["n_categories"]:
        text = (
            "No image has a category. Where folders carry none, give a mapping file "
            "(image_id,category)."
        )
        return section("categories", "Categories", note(text))
    parts: list[Content] = [note(_category_source(found))]
    n_not_judged = categories["n_categories"] - categories["n_judged"]
    if n_not_judged:
        parts.append(note(f"No image was searched in {n_not_judged:,} of the categories."))
    if categories["n_images_without"]:
        parts.append(note(f"{count(categories['n_images_without'], 'image')} have no category."))
    if categories["n_judged"] > 1:
        parts.append(_above_table(found))
        parts += _most_and_least(found)
    elif categories["n_judged"] == 1:
        only = categories["most"][0]
        parts.append(el("p", f"The only category, {only['name']}: {_share_of(only)}."))
    return section("categories", "Categories", *parts)


def _category_source(found: Found) -> str:
    mapped = found["mapping"]
    if mapped and mapped["by"]:
        return (
            f"The category of an image is the likeliest label of {mapped['by']}, a guess of a "
            f"model; {count(mapped['n_lines'], 'image')} have one. The guesses are in "
            "categories.csv, and can be corrected there and given back as a mapping file."
        )
    if mapped:
        unused = f"; {mapped['n_unused']:,} name none" if mapped["n_unused"] else ""
        text = f"Categories come from a mapping file by {mapped['key'].replace('_', ' ')}, "
        return f"{text}{count(mapped['n_lines'], 'line')}{unused}."
    rule = FOLDER_RULES[found["config"]["categories"]]
    return f"The category of an image is {rule}."


def _above_table(found: Found) -> Markup:
    categories = found["categories"]
    rows = [
        (
            f"More than {100 * each['threshold']:g} % of the images",
            each["n_above"],
            each["n_surely_above"],
            each["n_possibly_above"],
        )
        for each in categories["above"]
    ]
    return table(
        f"Categories with a {found['noun']} in so many of their images, of "
        f"{categories['n_judged']:,}; surely: the whole interval is above, possibly: a part of it",
        ("Share", "Categories", "surely", "possibly"),
        rows,
        numbers=(1, 2, 3),
    )


def _most_and_least(found: Found) -> list[Content]:
    categories = found["categories"]
    headers = ("Category", f"Images with a {found['noun']}", "Share", "")
    blocks = []
    lists = [("most", "Most: "), ("least", "Least: ")]
    if len(categories["most"]) == categories["n_judged"]:
        # The list of the least would hold the same ones once more.
        lists = [("most", "")]
    for key, title in lists:
        rows = [
            (
                _category_name(each["name"], each["category"]),
                join(each["n_with"], el("small", f" of {each['n_looked']:,}")),
                _with_interval(each),
                share_bar(each["share"]),
            )
            for each in categories[key]
        ]
        caption = f"{title}{len(rows)} of {categories['n_judged']:,} categories"
        blocks.append(table(caption, headers, rows, numbers=(1, 2)))
    return list(blocks)


def _category_name(name_: str, category: str) -> Content:
    return name_ if name_ == category else join(name_, el("small", category))


def _with_interval(row: Mapping[str, Any]) -> Content:
    return join(percent(row["share"]), el("small", ends_of(row), class_="ends"))


def _share_of(row: Mapping[str, Any]) -> str:
    return told({"value": row["share"], "low": row["low"], "high": row["high"]})


def supercategories_section(found: Found, figures: Mapping[str, Figure]) -> Markup | str:
    """Sum categories up by what they are kinds of."""
    supers = found["supercategories"]
    title = "Supercategories"
    if supers["missing"]:
        return section("supercategories", title, note(supers["missing"]))
    parts: list[Content] = [
        note(
            "A category belongs to a synset of WordNet when it is that synset or a kind of it; "
            "it may belong to several."
        )
    ]
    if supers["n_unknown"]:
        shown = ", ".join(supers["unknown"])
        parts.append(
            note(
                f"{supers['n_unknown']:,} of the categories are not in the hierarchy and are left "
                f"out here, {shown} first."
            )
        )
    rows = [
        (
            _category_name(each["name"], each["synset"]),
            each["n_categories"],
            join(each["n_with"], el("small", f" of {each['n_looked']:,}")),
            _with_interval(each) if each["n_looked"] else "not searched",
        )
        for each in supers["rows"]
    ]
    if not rows:
        parts.append(note("No synset was asked for, and none is large enough."))
        return section("supercategories", title, *parts)
    numbers = table(
        f"Images with a {found['noun']}, by supercategory",
        ("Supercategory", "Categories", f"Images with a {found['noun']}", "Share"),
        rows,
        numbers=(1, 2, 3),
    )
    drawn = figures.get("share_by_supercategory")
    is_long = len(rows) > MAX_ROWS
    parts.append(folded(f"All {len(rows)} supercategories", numbers) if is_long else numbers)
    if drawn:
        parts.insert(1, el("div", figure_card(drawn), class_="figures lone"))
    return section("supercategories", title, *parts)


def sizes_section(found: Found, figures: Mapping[str, Figure]) -> Markup | str:
    """Tell how large regions are and how much they cover."""
    if not found["per_image"]["n_with"]:
        return ""
    covered = found["sizes"]["covered"]
    middle = found["sizes"]["shorter_px"]["quantiles"]
    text = (
        f"Half of the {found['plural']} are smaller than {middle['0.5']:.3g} pixels on their "
        f"shorter side, one in 20 is smaller than {middle['0.05']:.3g}, one in 20 larger than "
        f"{middle['0.95']:.3g}."
    )
    parts: list[Content] = [el("p", unbroken(text))]
    if covered["mean"]:
        share = covered["n_covered_pixels"] / covered["n_pixels"]
        parts.append(
            el(
                "p",
                unbroken(
                    f"All regions together cover {told(covered['mean'])} of an image on average, "
                    f"images without any included, and {percent(share)} of all pixels. Pixels "
                    "under several regions count once; a pixel that a region touches is covered."
                ),
            )
        )
    if covered["n_unsized"]:
        parts.append(note(f"Of {count(covered['n_unsized'], 'image')} the size is not known."))
    names = ("shorter_side", "area_share", "covered_share", "score")
    drawn = [figure_card(figures[each]) for each in names if each in figures]
    return section("sizes", "How large", *parts, el("div", drawn, class_="figures"))
