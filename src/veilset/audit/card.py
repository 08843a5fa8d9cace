# SPDX-License-Identifier: Apache-2.0
"""The text for the card of a data set: what the audit found, and what it cannot say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from veilset.audit.config import DataCard
from veilset.pages.audit_figures import PEOPLE_LIMIT
from veilset.pages.markdown import plain
from veilset.pages.parts import count, told

LIMITS = (
    "It counts regions of an annotation set. What a detector missed is not counted, and what "
    "it saw in error is; the intervals know nothing of either.",
    "An image without a region was searched without a finding. That is not the same as an "
    "image without a person: people are seen from behind, in part, or too small.",
    "Intervals say how far a share would move with another sample of images of the same kind, "
    "as if images were independent. Series of one event are not.",
)
"""What no audit of this kind can say."""

CATEGORY_LIMIT = (
    "Categories are guesses of a classifier. It knows a fixed list and gives one of it to every "
    "picture, also to one that shows none of them."
)

NSFW_LIMIT = (
    "Candidates for NSFW regions are guesses of a detector for people to review. How many it "
    "misses was not measured; without a candidate, an image is not shown to be harmless."
)

_NOUNS = {"face": ("face", "faces"), "person": ("person", "people"), "plate": ("plate", "plates")}


def nouns_of(kind: str) -> tuple[str, str]:
    """Give the words for one and for several regions of a kind.

    Example:
        >>> nouns_of("face"), nouns_of("nsfw")
        (('face', 'faces'), ('nsfw region', 'nsfw regions'))
    """
    return _NOUNS.get(kind, (f"{kind} region", f"{kind} regions"))


def summarize(found: Mapping[str, Any]) -> str:
    """Give what was found in a few sentences."""
    noun, plural = found["noun"], found["plural"]
    counted, statuses = found["per_image"], found["images"]["statuses"]
    n_looked = counted["n_looked"]
    if not n_looked:
        return (
            f"None of {count(found['population']['n_images'], 'image')} was searched, so nothing "
            f"is known of {plural} in them."
        )
    holds = "holds" if counted["n_with"] == 1 else "hold"
    named = noun if counted["n_regions"] == 1 else plural
    sentences = [
        f"Of {count(n_looked, 'searched image')}, {counted['n_with']:,} {holds} a {noun}: "
        f"{told(counted['share_with'])}; {counted['n_regions']:,} {named} in all."
    ]
    beside = [
        f"{text} {statuses[status]:,}"
        for status, text in (
            ("not_looked", "not searched"),
            ("could_not_look", "could not be searched"),
        )
        if statuses[status]
    ]
    if beside:
        sentences.append(f"Nothing is known of the others: {', '.join(beside)}.")
    categories = found["categories"]
    if categories["n_judged"] > 1:
        half, quarter = (_how_many(each) for each in categories["above"])
        sentences.append(
            f"Of {categories['n_judged']:,} categories, {half} have a {noun} in more than a half "
            f"of their images, {quarter} in more than a quarter."
        )
    return " ".join(sentences)


def _how_many(above: Mapping[str, Any]) -> str:
    """Write how many categories are above a threshold, and of how many that is sure."""
    n, n_surely, n_possibly = (
        above[key] for key in ("n_above", "n_surely_above", "n_possibly_above")
    )
    if n_surely == n_possibly:
        return f"{n:,}"
    return f"{n:,} (surely {n_surely:,}, possibly {n_possibly:,})"


def limits_of(found: Mapping[str, Any]) -> list[str]:
    """Give what this audit cannot say, a sentence or two each."""
    limits = list(LIMITS)
    if found["people"]["age"] or found["people"]["gender"]:
        limits.append(PEOPLE_LIMIT)
    look = found["look"] or {}
    if look.get("classify"):
        limits.append(CATEGORY_LIMIT)
    if look.get("nsfw"):
        limits.append(NSFW_LIMIT)
    if found["disparity"] and any(
        each["name"] == "skin tone" for each in found["disparity"]["groupings"]
    ):
        limits.append(
            "The skin tone proxy is the colour of pixels in the middle of a box. Light, shadow "
            "and white balance move it by more than a class; it is no ethnicity."
        )
    return limits


def missing_fields(card: DataCard) -> list[str]:
    """Name what the owner has not told and catalogues ask for."""
    asked = {
        "licence": card.licence,
        "url": card.url,
        "creators": card.creators,
        "citation": card.citation,
        "version": card.version,
        "published": card.published,
    }
    return [name for name, value in asked.items() if not value]


def render_card(card: DataCard, found: Mapping[str, Any]) -> str:
    """Give the section on people for the card of a data set, in Markdown."""
    noun = plain(found["noun"])
    lines = [f"## People in {plain(found['data_set'])}", ""]
    # The owner's own words, which may be Markdown. All else here comes from the data.
    if card.description:
        lines += [card.description, ""]
    lines += [plain(summarize(found)), ""]
    sizes = found["sizes"]
    if sizes["covered"]["mean"]:
        lines += [
            f"On average {noun} regions cover {told(sizes['covered']['mean'])} of an image's "
            "pixels, each pixel counted once.",
            "",
        ]
    most = found["categories"]["most"]
    if len(most) > 1:
        lines += [f"Categories with the largest share of images with a {noun}:", ""]
        lines += [
            f"- {plain(each['name'])}: {told(each | {'value': each['share']})}" for each in most[:5]
        ]
        lines.append("")
    lines += _people_lines(found)
    models = (found["look"] or {}).get("models", ())
    if models:
        used = "; ".join(plain(f"{m['name']} ({m['licence']}) for {m['used_for']}") for m in models)
        lines += [f"Estimated with {used}.", ""]
    lines += ["Limits:", "", *(f"- {each}" for each in limits_of(found)), ""]
    source = found["annotations"]
    lines.append(
        f"Counted by Veilset {found['veilset']} from the annotation set "
        f"`{source['outputs_sha256'][:16]}` of the stage {plain(source['stage'])}."
    )
    return "\n".join(lines) + "\n"


def _people_lines(found: Mapping[str, Any]) -> list[str]:
    people = found["people"]
    if not people["age"] and not people["gender"]:
        return ["Ages and genders were not estimated.", ""]
    lines = []
    for name in ("age", "gender"):
        if people[name]:
            groups = "; ".join(
                f"{plain(g['group'])} {told(g['share'])}" for g in people[name]["groups"]
            )
            lines += [
                f"Estimated {name}, of {people[name]['n']:,} {plain(found['plural'])}: {groups}.",
                "",
            ]
    return lines
