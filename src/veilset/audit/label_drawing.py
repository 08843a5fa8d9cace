# SPDX-License-Identifier: Apache-2.0
"""Faces drawn into their picture: a box, a number, the estimated age and gender.

Lines lie outside the box, so that the face stays to be seen. Where there is no room for the
whole label beside its box, the number alone stands there and the rest below the picture.
Kinds differ in colour (Okabe and Ito, 2008: told apart by colour-blind people) and in dashes,
so that grey print tells them apart too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image as PilImage
from PIL import ImageDraw
from PIL.ImageFont import FreeTypeFont

from veilset.audit.label_placing import Place, Placer
from veilset.audit.lettering import own_font, writable
from veilset.boxes import clip, region_boxes
from veilset.errors import ConfigError
from veilset.types import FloatBoxes, Image, Region

LEAST_SIDE_PX, MOST_SIDE_PX = 960, 8192
"""The longer side of a picture: smaller images are enlarged, larger ones made smaller."""

_MOST_TALL_PX = 30_000
"""The picture and the list below it; a JPEG ends at 65,535."""

_CROWD_SIDE_PX = 2400
_SMALL_FACE_PX = 16
"""A crowd is enlarged until half of its faces have this size, as far as ``_CROWD_SIDE_PX``."""

_LETTER_SHARE, _LEAST_LETTER_PX, _MOST_LETTER_PX, _TAG_LETTER_PX = 1 / 68, 14, 72, 11
_MAX_LETTERS = 48
_CROWD, _BRIEF_CROWD = 20, 6
"""With more regions than these all texts are listed below, or left out of a small picture."""

_INK, _PAPER, _RIM = (17, 17, 17), (255, 255, 255), (0, 0, 0)


@dataclass(frozen=True, slots=True)
class _Style:
    """How a kind of region is drawn: a colour, and the lengths of dashes and gaps in lines."""

    colour: tuple[int, int, int]
    dash: int = 0
    gap: int = 0


_STYLES = {"face": _Style((86, 180, 233)), "nsfw": _Style((230, 159, 0), dash=6, gap=4)}
_OTHER = _Style((240, 228, 66), dash=2, gap=3)


def said(region: Region, *, brief: bool = False) -> str:
    """Give what is known of a region besides its place, in letters that the font has.

    Args:
        region: With the attributes ``age``, ``age_low``, ``age_high``, ``gender`` and
            ``gender_score`` as far as they were estimated; ``label`` for kinds that are no face.
        brief: Without ranges and probabilities.

    Returns:
        A line of at most 48 letters, 24 if brief; "" for a face of which nothing is known.

    Example:
        >>> face = Region((0, 0, 9, 9), attributes={
        ...     "age": 27.3, "age_low": 22.0, "age_high": 33.0,
        ...     "gender": "female", "gender_score": 0.934})
        >>> said(face), said(face, brief=True)
        ('27 (22-33)  female 93 %', '27 female')
        >>> said(Region((0, 0, 9, 9), kind="nsfw", score=0.5))
        'nsfw 50 %'
    """
    parts = _of_face(region, brief=brief) if region.kind == "face" else _of_other(region, brief)
    text = writable((" " if brief else "  ").join(parts))
    most = _MAX_LETTERS // 2 if brief else _MAX_LETTERS
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _of_other(region: Region, brief: bool) -> list[str]:
    if brief:
        return [region.kind]
    label = region.attributes.get("label", "")
    named = f"{region.kind} {label}".strip() if isinstance(label, str) else region.kind
    return [f"{named}{_percent(region.score)}"]


def _of_face(region: Region, *, brief: bool) -> list[str]:
    parts = []
    age = _number(region, "age")
    if age is not None:
        low, high = _number(region, "age_low"), _number(region, "age_high")
        has_range = low is not None and high is not None and not brief
        parts.append(f"{age:.0f} ({low:.0f}-{high:.0f})" if has_range else f"{age:.0f}")
    gender = region.attributes.get("gender")
    if isinstance(gender, str) and gender.strip():
        score = None if brief else _number(region, "gender_score")
        parts.append(f"{gender.strip()}{_percent(score)}")
    return parts


def _number(region: Region, name: str) -> float | None:
    value = region.attributes.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if math.isfinite(value) else None


def _percent(score: float | None) -> str:
    return "" if score is None else f" {100 * score:.0f} %"


def draw_labels(
    image: Image, regions: Sequence[Region], *, long_side_px: int | None = None
) -> Image:
    """Draw regions and what is known of them into a picture.

    The number of a region is its place in ``regions``, from 1 on. The picture may be larger
    than the image (small images and crowds are enlarged, and a list may stand below) or
    smaller (above ``MOST_SIDE_PX``). The same input gives the same pixels.

    Args:
        image: ``(H, W, 3)`` uint8 RGB, at least a pixel; not changed.
        regions: In pixels of the image; one that lies outside it is drawn at its border.
        long_side_px: Longer side of a small picture, as for a contact sheet: labels are
            brief and a crowd gets boxes only; None for a picture of its own.

    Returns:
        ``(H', W', 3)`` uint8 RGB, a new array.

    Raises:
        ConfigError: If the image is not ``(H, W, 3)`` uint8 with at least one pixel.
    """
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise ConfigError(
            f"The picture is {image.dtype} of shape {image.shape}. Give (height, width, 3) uint8."
        )
    size_wh = (image.shape[1], image.shape[0])
    boxes = clip(region_boxes(regions), size_wh)
    scale = _scale(size_wh, boxes) if long_side_px is None else long_side_px / max(size_wh)
    picture = _resized(image, scale)
    drawing = _Drawing(picture, boxes * scale, regions, is_brief=long_side_px is not None)
    return np.asarray(drawing.finished())


def _scale(size_wh: tuple[int, int], boxes: FloatBoxes) -> float:
    """Give the factor by which an image is enlarged or made smaller."""
    longer = max(size_wh)
    scale = max(1.0, LEAST_SIDE_PX / longer)
    if len(boxes):
        middle = float(np.median(np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])))
        wanted = _SMALL_FACE_PX / max(middle, 1.0)
        scale = max(scale, min(wanted, _CROWD_SIDE_PX / longer))
    return min(scale, MOST_SIDE_PX / longer)


def _resized(image: Image, scale: float) -> PilImage.Image:
    picture = PilImage.fromarray(np.ascontiguousarray(image))
    if scale == 1.0:
        return picture
    size_wh = tuple(max(1, round(side * scale)) for side in picture.size)
    return picture.resize((size_wh[0], size_wh[1]), PilImage.Resampling.BICUBIC)


class _Drawing:
    """One picture while it is drawn."""

    def __init__(
        self,
        picture: PilImage.Image,
        boxes: FloatBoxes,
        regions: Sequence[Region],
        *,
        is_brief: bool,
    ) -> None:
        self._boxes, self._regions, self._is_brief = boxes, regions, is_brief
        longer = max(picture.size)
        letter = min(max(longer * _LETTER_SHARE, _LEAST_LETTER_PX), _MOST_LETTER_PX)
        sides = np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
        middle = float(np.median(sides)) if len(sides) else letter
        # Numbers larger than the faces that they count would hide the crowd.
        least = _TAG_LETTER_PX * max(1.0, longer / 2 / _CROWD_SIDE_PX)
        tag = min(max(0.75 * middle, least), letter)
        self._font = own_font(_TAG_LETTER_PX if is_brief else round(letter))
        self._tag_font = own_font(_TAG_LETTER_PX if is_brief else round(tag))
        self._line_px = 1 if is_brief else max(1, round(tag / 7))
        self._labels = [self._full_label(index) for index in range(len(regions))]
        # A strip of an image has paper beside it for labels that are larger than itself.
        widest = max((label.wh[0] for label in self._labels), default=1)
        tallest = 2 * _Label("0", "", self._font).wh[1] if regions else 1
        self._picture = _extended(picture, (widest, tallest))

    def finished(self) -> PilImage.Image:
        """Draw everything; give the picture."""
        draw = ImageDraw.Draw(self._picture)
        for index, box in enumerate(self._boxes):
            self._outline(draw, box, self._style(index))
        placed, listed = self._place_all()
        for index, label, place in placed:
            if place.is_apart:
                self._lead(draw, index, label, place)
        for index, label, place in placed:
            label.draw(draw, (place.left, place.top), self._style(index).colour)
        return self._with_list(listed) if listed else self._picture

    def _full_label(self, index: int) -> _Label:
        text = said(self._regions[index], brief=self._is_brief)
        return _Label("" if self._is_brief and text else str(index + 1), text, self._font)

    def _style(self, index: int) -> _Style:
        return _STYLES.get(self._regions[index].kind, _OTHER)

    def _place_all(self) -> tuple[list[tuple[int, _Label, Place]], list[int]]:
        """Find room for labels; give them, and whose text has to be listed below."""
        rim = 2 * self._line_px
        placer = Placer(self._boxes + np.array([-rim, -rim, rim, rim]), self._picture.size)
        areas = np.prod(self._boxes[:, 2:] - self._boxes[:, :2], axis=1)
        is_crowd = len(self._regions) > (_BRIEF_CROWD if self._is_brief else _CROWD)
        placed, listed = [], []
        # The largest first: they are looked at first.
        for index in np.argsort(-areas, kind="stable").tolist():
            label = self._labels[index]
            place = None if is_crowd or not label.text else placer.find(index, label.wh)
            if place is None or place.n_covered:
                if self._is_brief and (is_crowd or label.text):
                    continue
                if label.text:
                    listed.append(index)
                label = _Label(str(index + 1), "", self._tag_font)
                place = placer.find(index, label.wh, may_move=not self._is_brief)
            placer.take(place, label.wh)
            placed.append((index, label, place))
        return placed, sorted(listed)

    def _outline(self, draw: ImageDraw.ImageDraw, box: FloatBoxes, style: _Style) -> None:
        """Draw around a box: a light line outside, a dark one inside, one of them always seen."""
        width, height = self._picture.size
        line = self._line_px
        # The lines lie outside the box; at the border of the picture they have to come in.
        x0 = min(max(math.floor(box[0]) - 2 * line, 0), max(width - 4 * line - 1, 0))
        y0 = min(max(math.floor(box[1]) - 2 * line, 0), max(height - 4 * line - 1, 0))
        x1 = max(min(math.ceil(box[2]) + 2 * line, width) - 1, min(4 * line, width - 1))
        y1 = max(min(math.ceil(box[3]) + 2 * line, height) - 1, min(4 * line, height - 1))
        draw.rectangle((x0, y0, x1, y1), outline=_RIM, width=2 * line)
        if style.dash:
            _dashed(draw, (x0, y0, x1, y1), style, line)
        else:
            draw.rectangle((x0, y0, x1, y1), outline=style.colour, width=line)

    def _lead(self, draw: ImageDraw.ImageDraw, index: int, label: _Label, place: Place) -> None:
        """Draw a line from a label to its box, which is not beside it."""
        x0, y0, x1, y1 = (float(each) for each in self._boxes[index])
        start = (place.left + label.wh[0] / 2, place.top + label.wh[1] / 2)
        end = (min(max(start[0], x0), x1), min(max(start[1], y0), y1))
        draw.line((start, end), fill=_RIM, width=self._line_px + 2)
        draw.line((start, end), fill=self._style(index).colour, width=self._line_px)

    def _with_list(self, listed: Sequence[int]) -> PilImage.Image:
        """Write below the picture what found no room in it, in columns from top to bottom."""
        font = own_font(max(_LEAST_LETTER_PX, round(0.8 * self._font.size)))
        edge, row_px = round(font.size), round(1.6 * font.size)
        rows = [(_Label(str(index + 1), "", font), self._labels[index].text) for index in listed]
        cap_px = max(label.wh[0] for label, _ in rows)
        text_px = max(math.ceil(font.getlength(text)) for _, text in rows)
        needed = cap_px + text_px + 2 * edge
        width, height = max(self._picture.width, needed + edge), self._picture.height
        n_columns = (width - edge) // needed
        most_rows = max(1, (_MOST_TALL_PX - height) // row_px)
        n_left_out = max(0, len(rows) - n_columns * most_rows)
        rows = rows[: len(rows) - n_left_out]
        n_rows = -(-len(rows) // n_columns)
        whole = _extended(
            self._picture, (width, height + (n_rows + bool(n_left_out)) * row_px + 2 * edge)
        )
        draw = ImageDraw.Draw(whole)
        column_px = (width - edge) // min(n_columns, len(rows))
        for place, (index, (label, text)) in enumerate(zip(listed, rows, strict=False)):
            column, row = divmod(place, n_rows)
            left, top = edge + column * column_px + cap_px, height + edge + row * row_px
            label.draw(draw, (left - label.wh[0], top), self._style(index).colour)
            at = (left + edge / 2, top + label.baseline_px)
            draw.text(at, text, fill=_INK, font=font, anchor="ls")
        if n_left_out:
            at = (edge, whole.height - row_px // 2)
            draw.text(at, f"and {n_left_out:,} more", fill=_INK, font=font, anchor="ls")
        return whole


class _Label:
    """A number in white on black, then a text in black on the colour of its kind."""

    def __init__(self, number: str, text: str, font: FreeTypeFont) -> None:
        self.number, self.text, self.font = number, text, font
        ascent, descent = font.getmetrics()
        margin = max(1, round(font.size / 7))
        self._pad_px = 2 * margin
        self.baseline_px = (margin + 1) // 2 + ascent
        self._cap_px = math.ceil(font.getlength(number)) + 2 * self._pad_px if number else 0
        text_px = math.ceil(font.getlength(text)) + 2 * self._pad_px if text else 0
        self.wh = (self._cap_px + text_px, ascent + descent + margin)

    def draw(
        self, draw: ImageDraw.ImageDraw, at: tuple[int, int], colour: tuple[int, int, int]
    ) -> None:
        left, top = at
        right, bottom = left + self.wh[0] - 1, top + self.wh[1] - 1
        baseline = top + self.baseline_px
        if self.text:
            draw.rectangle((left, top, right, bottom), fill=colour, outline=_RIM)
            at_text = (left + self._cap_px + self._pad_px, baseline)
            draw.text(at_text, self.text, fill=_INK, font=self.font, anchor="ls")
        if self.number:
            cap = (left, top, left + self._cap_px - 1, bottom)
            draw.rectangle(cap, fill=_RIM, outline=colour)
            at_number = (left + self._pad_px, baseline)
            draw.text(at_number, self.number, fill=_PAPER, font=self.font, anchor="ls")


def _extended(picture: PilImage.Image, least_wh: tuple[int, int]) -> PilImage.Image:
    """Give a picture at least that large, with paper at its right and below it."""
    size_wh = (max(picture.width, least_wh[0]), max(picture.height, least_wh[1]))
    if size_wh == picture.size:
        return picture
    larger = PilImage.new("RGB", size_wh, _PAPER)
    larger.paste(picture)
    return larger


def _dashed(
    draw: ImageDraw.ImageDraw, box: tuple[int, int, int, int], style: _Style, thick: int
) -> None:
    """Draw a rectangle in dashes, whose lengths are in widths of the line."""
    x0, y0, x1, y1 = box
    step = (style.dash + style.gap) * thick
    for x in range(x0, x1 + 1, step):
        right = min(x + style.dash * thick - 1, x1)
        draw.rectangle((x, y0, right, min(y0 + thick - 1, y1)), fill=style.colour)
        draw.rectangle((x, max(y1 - thick + 1, y0), right, y1), fill=style.colour)
    for y in range(y0, y1 + 1, step):
        bottom = min(y + style.dash * thick - 1, y1)
        draw.rectangle((x0, y, min(x0 + thick - 1, x1), bottom), fill=style.colour)
        draw.rectangle((max(x1 - thick + 1, x0), y, x1, bottom), fill=style.colour)
