# SPDX-License-Identifier: Apache-2.0
"""Figures as PNG, drawn from their SVG by resvg.

A figure whose letters are all in Pillow's own font is written in it and no other, so that it
comes out the same on a machine without any font. One that holds other letters, as of a category
named in another script, is written in the fonts of the machine.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING
from xml.etree import ElementTree

from veilset.audit.lettering import is_known, own_font
from veilset.errors import ConfigError, MissingExtraError
from veilset.files import write_atomically
from veilset.pages.drawings import standalone

if TYPE_CHECKING:
    from veilset.pages.audit_figures import Figure

PNG_WIDTH_PX = 2160
"""Twice the width that the SVG files ask for: sharp on a screen of double density, and 300 dots
an inch over the 18 cm of a printed page."""

# resvg reads any file of the machine that one of these names.
_PICTURES = ("image", "feImage")


def import_resvg() -> ModuleType:
    """Give the library that draws SVG.

    Raises:
        MissingExtraError: If it is not installed.
    """
    try:
        import resvg_py
    except ImportError as error:
        raise MissingExtraError(
            "The figures of the audit need resvg-py, which is not installed. "
            "Install it with: pip install 'veilset[audit]'"
        ) from error
    return resvg_py


def rasterize(svg: bytes, width_px: int) -> bytes:
    """Draw an SVG file as PNG on white.

    The same file gives the same bytes wherever the same versions are installed; one with
    letters that ``lettering`` lacks, wherever the same fonts are.

    Args:
        svg: An SVG file in UTF-8, as ``drawings.standalone`` gives it: lines and text.
        width_px: Width of the picture in pixels; its height follows.

    Returns:
        A PNG file without metadata.

    Raises:
        ConfigError: If it is no SVG file, holds a picture, or the width is not above 0.
        MissingExtraError: If resvg-py is not installed.
    """
    resvg = import_resvg()
    if width_px < 1:
        raise ConfigError(f"The width of a figure is {width_px} pixels. Give at least 1.")
    try:
        text = svg.decode("utf-8")
        has_own_letters = is_known(_written_text(text))
        family, _ = own_font(16).getname()
        style = f'text {{ font-family: "{family}" !important }}' if has_own_letters else None
        # resvg takes fonts as files only.
        with tempfile.TemporaryDirectory(prefix="veilset-font-") as folder:
            font = Path(folder, "font.ttf")
            font.write_bytes(own_font(16).font_bytes)
            drawn: bytes = resvg.svg_to_bytes(
                svg_string=text,
                width=width_px,
                background="#ffffff",
                skip_system_fonts=has_own_letters,
                font_files=[str(font)],
                font_family=family,
                sans_serif_family=family if has_own_letters else None,
                style_sheet=style,
                resources_dir=folder,
            )
    except (ValueError, ElementTree.ParseError) as error:
        raise ConfigError(f"A figure is no SVG that can be drawn: {error}.") from error
    return drawn


def _written_text(svg: str) -> str:
    """Give all letters that the file shows; titles are told, not shown."""
    # Our own drawings, not a stranger's file: no entity is declared in them.
    root = ElementTree.fromstring(svg)  # noqa: S314  our own drawing
    parts: list[str] = []
    for each in root.iter():
        name = each.tag.rpartition("}")[2]
        if name in _PICTURES:
            raise ValueError(f"it holds a picture (<{name}>), which may lie outside the file")
        if name == "text":
            parts += each.itertext()
    return "".join(parts)


def write_figures(folder: Path, figures: Mapping[str, Figure]) -> None:
    """Write every figure as SVG and as PNG.

    Args:
        folder: Made if missing.
        figures: By name, which is also that of the file.

    Raises:
        MissingExtraError: If resvg-py is not installed.
    """
    folder.mkdir(exist_ok=True)
    for name, figure in figures.items():
        svg = standalone(figure.drawing)
        write_atomically(folder / f"{name}.svg", svg)
        write_atomically(folder / f"{name}.png", rasterize(svg, PNG_WIDTH_PX))
