# SPDX-License-Identifier: Apache-2.0
"""The card of a generator: what it is, what it learned from, what it is worth, what it must not do.

In the form of Mitchell et al. 2019 (arXiv:1810.03993). It is made from records, so that no figure
in it was typed by hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from veilset.pages.markdown import plain

_FORMS = {
    "clear": "the originals",
    "synthesize": "this generator",
    "inpaint": "`inpaint` (Telea)",
    "veil": "`veil` (6 x 6)",
}


def write_card(
    card: Mapping[str, Any],
    measured: Mapping[str, Sequence[Mapping[str, Any]]],
    named: tuple[int, int],
) -> str:
    """Give the card as Markdown.

    Args:
        card: As ``inpainting_training`` writes it.
        measured: As ``inpainting_measures.as_json`` gives it.
        named: How many of the photographs with a face the list of identities names, 0 without
            one, and how many there are.
    """
    n, config, machine = card["n"], card["config"], card["machine"]
    parts = [
        f"# A generator of faces, {card['side_px']} px",
        "Draws a face where one was hidden, from what is around it alone. Made by `veilset "
        "synthesize train`, for `veilset obfuscate --method synthesize`.",
        "## What it is",
        f"A U-Net of residual blocks with {card['n_parameters']:,} parameters, widths "
        f"{', '.join(map(str, config['widths']))}. It sees a square of {card['context']} times the "
        "longer side of the box, in which the box, enlarged by "
        f"{card['enlarge']:.0%}, and every other hidden region are filled. No landmark, no "
        "attribute and no pixel of the face is an input: faces are disjoint from identities by "
        "construction, as far as surroundings (hair, ears, body, place) do not tell them.",
        "## What it learned from",
        _data(n, card["data_licence"], named),
        f"{config['epochs']} epochs, batches of {config['batch']}, Adam with a learning rate of "
        f"{config['lr']:g}, seed {config['seed']}; device {machine['device']}, "
        f"{machine['threads'] or 'no'} CPU threads, {machine['precision']}. "
        + _looked_through(card.get("looked_through"))
        + _started_from(card.get("started_from")),
        "## What it is worth",
        f"On {n['test']['faces']} faces of {n['test']['people']} people that it did not learn "
        "from, with 95 % intervals over people: Wilson's of shares, a jackknife's of distances "
        "between sets, a bootstrap's of means:",
        _table(measured),
        "SSIM and L1 tell how near a drawing is to the hidden face: no merit for privacy, and no "
        "measure of how natural it looks. The Fréchet distance falls with the number of pictures, "
        "and its interval is for as many as here: never compare it with figures of other papers.",
        "## What it is not for",
        "- It proves nothing about privacy: `veilset attack` measures that, with its drawings as "
        "with any other method's. Surroundings still identify.\n"
        "- A drawn face is nobody's; it may still be taken for somebody's, and says nothing about "
        "who was there. Do not use it to put words, acts or places to people.\n"
        "- It draws what it has seen: poses, ages and skin that its photographs lack come out "
        "worse. Counts of people by appearance made on its output are counts of its habits.\n"
        "- Weights may be used as the photographs may be, and what its critics looked through, no "
        "more.",
    ]
    return "\n\n".join(parts) + "\n"


def _data(n: Mapping[str, Mapping[str, int]], licence: str, named: tuple[int, int]) -> str:
    shares = "; ".join(
        f"{name}: {n[name]['faces']:,} faces of {n[name]['people']:,} people"
        for name in ("train", "val", "test")
        if name in n
    )
    some, n_all = named
    who = "No list of identities was given"
    if some:
        who = f"The list of identities names {some:,} of {n_all:,} photographs with a face"
    return (
        f"{shares}. {who}; a photograph that is not named counts as a person of its own. Nobody is "
        f"in two of the three. Licence of the photographs: {plain(licence)}."
    )


def _looked_through(network: Mapping[str, Any] | None) -> str:
    if network is None:
        return "Its critics saw pixels alone."
    told = {key: plain(str(network[key])) for key in ("name", "origin", "licence", "note")}
    return (
        f"Its critics saw pixels, and what {told['name']} sees ({told['origin']}; licence: "
        f"{told['licence']}). {told['note']} The Fréchet and kernel distances below are "
        "taken from another size of that network and flatter it: look at faces."
    )


def _started_from(start: Mapping[str, Any] | None) -> str:
    if start is None:
        return ""
    n = start["n"]["train"]
    whom = (
        "They were the faces above, in the same split."
        if start["has_same_faces"]
        else "**It may have learned from people of the test below.**"
    )
    return (
        f"\n\nIts first weights were those of a generator (SHA-256 {start['sha256']}) that learned "
        f"from {n['faces']:,} faces of {n['people']:,} people in {start['epochs']} epochs; licence "
        f"of their photographs: {plain(start['data_licence'])}. {whom} "
        + _looked_through(start["looked_through"])
        + _started_from(start["started_from"])
    )


def _table(measured: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    forms = [name for name in _FORMS if name in measured]
    titles = list(dict.fromkeys(each["name"] for name in forms for each in measured[name]))
    lines = [
        "| | " + " | ".join(_FORMS[name] for name in forms) + " |",
        "|---" * (len(forms) + 1) + "|",
    ]
    for title in titles:
        cells = [_cell(measured[name], title) for name in forms]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _cell(found: Sequence[Mapping[str, Any]], title: str) -> str:
    for each in found:
        if each["name"] == title:
            if each["low"] is None or each["high"] is None:
                return f"{each['value']:.3f} (no interval, n = {each['n']})"
            return f"{each['value']:.3f} ({each['low']:.3f} to {each['high']:.3f})"
    return ""
