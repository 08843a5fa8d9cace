# SPDX-License-Identifier: Apache-2.0
"""Figures as PNG: what is on them, wherever they are drawn."""

from __future__ import annotations

import io
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PilImage

from veilset.audit import raster
from veilset.audit.raster import PNG_WIDTH_PX, rasterize, write_figures
from veilset.errors import ConfigError, MissingExtraError
from veilset.pages.audit_figures import Figure
from veilset.pages.drawings import CurvePoint, RangeRow, draw_curve, draw_ranges, standalone
from veilset.pages.markup import el


def ranges(label: str) -> bytes:
    """A figure with one row of that name."""
    rows = [RangeRow(label, "told, not shown: 犬", [(0.5, 0.4, 0.6)])]
    return standalone(draw_ranges(rows, ["age"], "Ages", "of the faces"))


def pixels(png: bytes) -> np.ndarray:
    with PilImage.open(io.BytesIO(png)) as picture:
        assert picture.format == "PNG"
        return np.asarray(picture.convert("RGB")).astype(int)


def ink(png: bytes, top: float, left: float, bottom: float, right: float) -> float:
    """Share of a part of a picture that is not white; places are shares of its sides."""
    found = pixels(png)
    height, width = found.shape[:2]
    part = found[int(top * height) : int(bottom * height), int(left * width) : int(right * width)]
    return float((part.sum(axis=2) < 3 * 240).mean())


def test_picture_has_the_width_and_the_shape_of_the_figure() -> None:
    svg = ranges("20 to 29")
    width, height = (int(svg.split(f'{name}="'.encode())[1].split(b'"')[0])
                     for name in ("width", "height"))  # fmt: skip
    found = pixels(rasterize(svg, 500))
    assert found.shape[1] == 500
    assert found.shape[0] == pytest.approx(500 * height / width, abs=1)


def test_ground_is_white_and_opaque() -> None:
    with PilImage.open(io.BytesIO(rasterize(ranges("20 to 29"), 300))) as picture:
        assert picture.convert("RGBA").getpixel((2, 2)) == (255, 255, 255, 255)


def test_text_and_marks_are_drawn() -> None:
    png = rasterize(ranges("20 to 29"), 752)
    blank = rasterize(ranges(""), 752)
    # The name of the row stands at the left, the range in its colour at the right.
    assert ink(png, 0.1, 0.0, 0.5, 0.36) > 0.02
    assert ink(blank, 0.1, 0.0, 0.5, 0.36) == 0
    assert (np.abs(pixels(png) - [0x3A, 0x5A, 0x94]).sum(axis=2) < 12).sum() > 50


def test_lines_and_bands_of_a_curve_are_drawn() -> None:
    points = [CurvePoint(str(i), 1 - i / 50, max(0.0, 0.9 - i / 50), 1.0, 9) for i in range(50)]
    found = pixels(rasterize(standalone(draw_curve(points, (0.5,), "images")), 752))
    assert (np.abs(found - [0x3A, 0x5A, 0x94]).sum(axis=2) < 12).sum() > 300
    assert (np.abs(found - [0xCC, 0xD7, 0xEB]).sum(axis=2) < 12).sum() > 3000


def test_same_bytes_each_time_and_no_metadata() -> None:
    png = rasterize(ranges("20 to 29"), 400)
    assert png == rasterize(ranges("20 to 29"), 400)
    with PilImage.open(io.BytesIO(png)) as picture:
        picture.load()
        assert picture.info == {}


def test_fonts_of_the_machine_change_nothing_where_the_own_font_is_enough(tmp_path: Path) -> None:
    script = (
        "import sys, hashlib\n"
        "from tests.unit.audit.test_raster import ranges\n"
        "from veilset.audit.raster import rasterize\n"
        "print(hashlib.sha256(rasterize(ranges('20 to 29'), 400)).hexdigest())"
    )
    # Without a configuration of fontconfig and without a home, no font is found.
    bare = {"PATH": "/nonexistent", "HOME": str(tmp_path), "FONTCONFIG_FILE": str(tmp_path / "x")}
    made = subprocess.run(
        [sys.executable, "-c", script], env=bare, capture_output=True, text=True, check=True
    )
    assert made.stdout.strip() == sha256(rasterize(ranges("20 to 29"), 400)).hexdigest()


def test_letters_that_the_own_font_lacks_are_drawn_as_something() -> None:
    # What they look like depends on the fonts of the machine; a blank would hide a name.
    png = rasterize(ranges("犬種"), 752)
    assert ink(png, 0.1, 0.0, 0.5, 0.36) > 0.005
    assert png == rasterize(ranges("犬種"), 752)


def test_every_figure_is_written_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(raster, "PNG_WIDTH_PX", PNG_WIDTH_PX)  # not small, as in all other tests
    drawing = draw_ranges([RangeRow("a", "a", [(0.5, 0.4, 0.6)])], ["age"], "Ages", "x")
    write_figures(tmp_path / "figures", {"age": Figure("age", "Ages", "", drawing)})
    assert sorted(each.name for each in (tmp_path / "figures").iterdir()) == ["age.png", "age.svg"]
    assert pixels((tmp_path / "figures" / "age.png").read_bytes()).shape[1] == PNG_WIDTH_PX


@pytest.mark.parametrize("svg", [b"", b"<svg", b"<p>text</p>", b"\xff"])
def test_what_is_no_figure_is_refused(svg: bytes) -> None:
    with pytest.raises(ConfigError, match="no SVG that can be drawn"):
        rasterize(svg, 100)


def test_width_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="0 pixels"):
        rasterize(ranges("a"), 0)


def test_missing_library_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'veilset\[audit\]'"):
        rasterize(ranges("a"), 100)


@pytest.mark.parametrize("name", ["image", "feImage"])
def test_no_file_of_the_machine_is_drawn(tmp_path: Path, name: str) -> None:
    PilImage.new("RGB", (8, 8), "red").save(tmp_path / "red.png")
    link = el(name, href=str(tmp_path / "red.png"), width=100, height=100)
    svg = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100">{link}</svg>'.encode()
    with pytest.raises(ConfigError, match="holds a picture"):
        rasterize(svg, 100)
