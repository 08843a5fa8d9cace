# SPDX-License-Identifier: Apache-2.0
"""The pieces that sections of the page are made of: tables, cards, lists of settings."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from veilset.pages.markup import Content, Markup, el, join

Cells = Sequence[Content]


def section(anchor: str, title: str, *contents: Content) -> Markup:
    """Give a section of the page, named by its heading."""
    heading = el("h2", title, id=f"{anchor}-title")
    return el("section", heading, *contents, id=anchor, aria_labelledby=f"{anchor}-title")


def table(
    caption: str, headers: Sequence[str], rows: Iterable[Cells], *, numbers: Sequence[int] = ()
) -> Markup:
    """Give a table that scrolls by itself where the page is narrow.

    Args:
        caption: What the table holds, for all readers.
        headers: One for each column; the first column names the row.
        rows: Cells of each row.
        numbers: Columns that are set flush right.
    """
    classes = ["num" if i in numbers else None for i in range(len(headers))]
    head = el(
        "tr",
        [
            el("th", text, scope="col", class_=each)
            for text, each in zip(headers, classes, strict=True)
        ],
    )
    body = [
        el(
            "tr",
            el("th", row[0], scope="row"),
            [el("td", cell, class_=each) for cell, each in zip(row[1:], classes[1:], strict=True)],
        )
        for row in rows
    ]
    inner = el("table", el("caption", caption), el("thead", head), el("tbody", *body))
    return el("div", inner, class_="scroll", role="region", aria_label=caption, tabindex=0)


def folded(summary: Content, *contents: Content, is_open: bool = False) -> Markup:
    """Give a block that opens on request, without a script."""
    return el("details", el("summary", summary), *contents, open="" if is_open else None)


def pairs(items: Iterable[tuple[str, Content]]) -> Markup:
    """Give names with their values."""
    return el(
        "dl",
        [el("div", el("dt", name), el("dd", value)) for name, value in items],
        class_="pairs",
    )


def settings(values: Mapping[str, object], *, prefix: str = "") -> list[tuple[str, Content]]:
    """Give settings as names with values, nested ones with both names.

    Example:
        >>> settings({"b": {"c": True}, "a": 0.25})
        [('a', '0.25'), ('b c', 'yes')]
    """
    items: list[tuple[str, Content]] = []
    for name, value in sorted(values.items()):
        label = f"{prefix} {name}".strip().replace("_", " ")
        if isinstance(value, Mapping):
            items += settings(value, prefix=label)
        else:
            items.append((label, plain(value)))
    return items


def plain(value: object) -> str:
    """Write a setting for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or value == "":
        return "not set"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(plain(each) for each in value) or "none"
    return str(value)


def note(*contents: Content) -> Markup:
    """Give a remark in the quiet colour."""
    return el("p", *contents, class_="note")


def caution(text: str) -> Markup:
    """Give a warning in a box of its own."""
    return el("div", el("p", text), class_="caution warn", role="note")


def name(text: str) -> Markup:
    """Give the name of an image."""
    return el("code", text, class_="name")


def listed(shown: int, n: int, where: str) -> Markup | str:
    """Say how much of a list is on the page, and where the rest is; "" if all of it is."""
    if shown >= n:
        return ""
    return note(f"The first {shown:,} of {n:,} are listed. All of them are in ", name(where), ".")


def card(title: Content, *contents: Content) -> Markup:
    """Give a titled box."""
    return el("article", el("h3", title), join(*contents), class_="card")


def percent(share: float) -> str:
    """Write a share of 1, so that what is not none or all never reads as none or all.

    Example:
        >>> [percent(s) for s in (0.0, 0.00004, 0.1234, 0.99999, 1.0)]
        ['0 %', '< 0.1 %', '12.3 %', '> 99.9 %', '100 %']
    """
    if share in (0.0, 1.0):
        return f"{100 * share:.0f} %"
    if share < 0.001:
        return "< 0.1 %"
    if share > 0.999:
        return "> 99.9 %"
    return f"{100 * share:.1f} %"


def ends_of(measured: Mapping[str, float]) -> str:
    """Write the ends of an interval of a share.

    Example:
        >>> ends_of({"low": 0.0004, "high": 0.171})
        '< 0.1 to 17.1 %'
    """
    return f"{percent(measured['low']).removesuffix(' %')} to {percent(measured['high'])}"


def told(measured: Mapping[str, float]) -> str:
    """Write a share with its interval.

    Example:
        >>> told({"value": 0.17, "low": 0.169, "high": 0.171})
        '17.0 % (16.9 to 17.1 %)'
    """
    return f"{percent(measured['value'])} ({ends_of(measured)})"


def unbroken(text: str) -> str:
    """Keep numbers and their percent signs on one line."""
    return text.replace(" %", "\u00a0%")


def seconds(value: float) -> str:
    """Write a time in seconds, minutes or hours.

    Example:
        >>> [seconds(v) for v in (0.0123, 9.87, 75.2, 7380)]
        ['0.012 s', '9.9 s', '1 min 15 s', '2 h 03 min']
    """
    if value < 60:
        return f"{value:.3f} s" if value < 1 else f"{value:.1f} s"
    whole = round(value)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def moment(stamp: str) -> str:
    """Write the time of a manifest for people.

    Example:
        >>> moment("2026-11-21T03:42:30Z")
        '2026-11-21 03:42 UTC'
    """
    return f"{stamp[:10]} {stamp[11:16]} UTC"


def size(n_bytes: int) -> str:
    """Write a number of bytes.

    Example:
        >>> size(900), size(61_500_000)
        ('900 B', '61.5 MB')
    """
    value, unit = float(n_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < 1000:
            break
        value, unit = value / 1000, larger
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def count(n: int, noun: str) -> str:
    """Write a count with its noun.

    Example:
        >>> count(1, "image"), count(1200, "image")
        ('1 image', '1,200 images')
    """
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
