# SPDX-License-Identifier: Apache-2.0
"""Draws another face in place of each: from what is around it, never from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from veilset.errors import ConfigError
from veilset.obfuscate.drawers import Drawer, open_drawer
from veilset.obfuscate.mask import (
    MIN_SIDE_PX,
    IntBox,
    check_fraction,
    check_image,
    core_boxes,
    feather_px,
    grown,
    largest_first,
)
from veilset.obfuscate.per_region import MAX_SURVIVAL, MEAN_RGB, parameters_of
from veilset.obfuscate.shapes import Shape, paste_shape
from veilset.obfuscate.veil import Veil
from veilset.protocols import MethodCard
from veilset.types import Image, IntBoxes, Mask, ModelCard, Region

LEAST_KNOWN = 0.2
"""Share of what a drawer sees that must not be hidden or beyond the border."""

TOO_SMALL = "too small"
TOO_LITTLE_AROUND = "too little around it"


@dataclass(frozen=True, slots=True)
class Step:
    """What is to be done with one core.

    Attributes:
        core: The pixels.
        region: What is known of them.
        shape: All pixels that are replaced if it is drawn: the core, and what a drawer adds.
        reason: Why it is veiled, "" if it is drawn.
    """

    core: IntBox
    region: Region
    shape: Shape
    reason: str


@dataclass(frozen=True)
class Synthesize:
    """Draws a face in each region with a generator that sees what is around it alone.

    A generator of landmarks replaces the ellipse around them besides, where it reaches beyond the
    box. No pixel that is replaced has any effect on the output. Regions are drawn one after the
    other, the largest first; what is still to come stays hidden meanwhile, what was drawn is
    surroundings like any other. Where the generator cannot draw a region, ``veil`` stands in,
    with its own cells and the margins of this method; such a region stays hidden from all that
    are drawn. Which they are is decided by the regions, their boxes, kinds, landmarks and chosen
    attributes, and the size of the image. A region that lies in a larger one that was drawn needs
    nothing more.

    Attributes:
        model: Path of the generator's ONNX file, or of the folder of its training.
        model_sha256: SHA-256 of that file; "" for whatever is there, which is then noted.
        enlarge: Fraction of the region's sides added on every side.
        feather: Fraction of the core's longer side over which the edge fades.
        smallest_px: Cores whose shorter side is below it are veiled.

    Raises:
        ConfigError: If a setting or the file cannot be used.
    """

    model: str = ""
    model_sha256: str = ""
    enlarge: float = 0.1
    feather: float = 0.1
    smallest_px: int = 12

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigError(
                "The method 'synthesize' needs a generator. Train one with 'veilset synthesize "
                "train', then name its folder, or its file generator.onnx: --set model=FOLDER, "
                "with 'veilset attack' --method synthesize:model=FOLDER."
            )
        check_fraction("synthesize", "enlarge", self.enlarge, 2.0)
        check_fraction("synthesize", "feather", self.feather, 2.0)
        check_fraction("synthesize", "smallest_px", self.smallest_px, 1024)
        _, sha256 = open_drawer(self.model, self.model_sha256)
        # What was found is a parameter like any other: a run goes on with the same file only.
        object.__setattr__(self, "model_sha256", sha256)
        # Kept from now on, whatever becomes of the file.
        _drawer(self.model, sha256)

    @property
    def card(self) -> MethodCard:
        """What the method promises."""
        return MethodCard(
            name="synthesize",
            version=1,
            summary="Another face is drawn from what is around it; veiled where it cannot be.",
            parameters=parameters_of(self),
            reversible=False,
            weak="",
            max_survival=MAX_SURVIVAL,
            draws_faces=True,
        )

    @property
    def models(self) -> tuple[ModelCard, ...]:
        """Where the generator comes from."""
        return (_drawer(self.model, self.model_sha256).card,)

    def core(self, regions: Sequence[Region], size_wh: tuple[int, int]) -> IntBoxes:
        """Pixels of each region that are replaced entirely, ``(N, 4)``."""
        return core_boxes(regions, size_wh, self.enlarge, MIN_SIDE_PX)

    def footprint(self, regions: Sequence[Region], size_wh: tuple[int, int]) -> IntBoxes:
        """Pixels that each region may change, ``(N, 4)``: what is replaced, and its feather."""
        cores = self.core(regions, size_wh)
        shapes = [
            self._shape(region, _as_box(core), size_wh).window
            for region, core in zip(regions, cores, strict=True)
        ]
        replaced = np.array(shapes, np.int64).reshape(-1, 4)
        return grown(replaced, feather_px(cores, self.feather), size_wh)

    def substituted(self, regions: Sequence[Region], size_wh: tuple[int, int]) -> list[str]:
        """Say of each region why it is veiled, "" where it is drawn or there is nothing of it."""
        reasons = {step.core: step.reason for step, _ in self._steps(regions, size_wh)}
        cores = [_as_box(row) for row in self.core(regions, size_wh)]
        return [reasons.get(core, "") for core in cores]

    def obfuscate(self, image: Image, regions: Sequence[Region], *, seed: int = 0) -> Image:
        """Give a copy of the image with faces drawn; nothing here is random.

        Raises:
            ConfigError: If the image is not ``(H, W, 3)`` uint8, or the generator fails.
        """
        check_image(image)
        size_wh = (image.shape[1], image.shape[0])
        steps = [step for step, _ in self._steps(regions, size_wh)]
        result = image.copy()
        for step in steps:
            if not step.reason:
                step.shape.fill(result, MEAN_RGB)
        for step, hidden in self._steps(regions, size_wh):
            if not step.reason:
                self._draw(result, hidden, step)
        veil = Veil(enlarge=self.enlarge, feather=self.feather)
        for step in steps:
            if step.reason:
                veil.hide(result, step.core)
        return result

    def _draw(self, result: Image, hidden: Mask, step: Step) -> None:
        """Draw one core into the picture so far."""
        drawer, core = _drawer(self.model, self.model_sha256), step.core
        box = step.shape.window
        sight = drawer.sight(step.region, core)
        # However wide the feather is to be, nothing is drawn beyond what was seen.
        reach = min(box[0] - sight[0], box[1] - sight[1], sight[2] - box[2], sight[3] - box[3])
        feather = min(int(feather_px(np.array([core]), self.feather)[0]), int(reach))
        size_wh = (hidden.shape[1], hidden.shape[0])
        window = _as_box(grown(np.array([box]), np.array([feather]), size_wh)[0])
        drawn = drawer.draw(result, hidden, step.region, core)
        paste_shape(result, drawn.pixels(window), window, step.shape, feather)

    def _shape(self, region: Region, core: IntBox, size_wh: tuple[int, int]) -> Shape:
        """Give what has to be hidden of a region: its core, and what a drawer replaces besides."""
        drawer = _drawer(self.model, self.model_sha256)
        if not _has_area(core) or drawer.obstacle(region, core):
            return Shape(core)
        return drawer.shape(region, core, size_wh)

    def _steps(
        self, regions: Sequence[Region], size_wh: tuple[int, int]
    ) -> Iterator[tuple[Step, Mask]]:
        """Go through the cores, the largest first, each with what is hidden at its turn."""
        drawer = _drawer(self.model, self.model_sha256)
        cores = self.core(regions, size_wh)
        chosen: dict[IntBox, Region] = {}
        for region, row in zip(regions, cores, strict=True):
            core = _as_box(row)
            other = chosen.get(core, region)
            chosen[core] = min(region, other, key=lambda each: _preference(each, core, drawer))
        left = largest_first(cores)
        shapes = {core: self._shape(chosen[core], core, size_wh) for core in left}
        veiled: list[IntBox] = []
        hidden = np.zeros((size_wh[1], size_wh[0]), np.bool_)
        for shape in shapes.values():
            shape.mark(hidden)
        while left:
            core = left.pop(0)
            region = chosen[core]
            reason = (
                drawer.obstacle(region, core)
                or (TOO_SMALL if _shorter_side(core) < self.smallest_px else "")
                or _lack(hidden, drawer, region, core)
            )
            shape = shapes[core]
            yield Step(core, region, shape, reason), hidden
            if reason:
                veiled.append(core)
                continue
            left = [each for each in left if _shared(each, core) != each]
            shape.unmark(hidden)
            for each in (*veiled, *left):
                if _has_area(_shared(shapes[each].window, shape.window)):
                    shapes[each].mark(hidden)


@lru_cache(maxsize=2)
def _drawer(model: str, sha256: str) -> Drawer:
    """Give the generator, opened once in a process: copies of a method come without it."""
    return open_drawer(model, sha256)[0]


def _preference(region: Region, core: IntBox, drawer: Drawer) -> tuple[object, ...]:
    """Order regions with one core, whatever order they came in: one that can be drawn first."""
    attributes = sorted((name, str(value)) for name, value in region.attributes.items())
    return bool(drawer.obstacle(region, core)), region.landmarks_xy, attributes


def _lack(hidden: Mask, drawer: Drawer, region: Region, core: IntBox) -> str:
    """Say whether too little of what a drawer would see is known, "" if there is enough."""
    sight = drawer.sight(region, core)
    left, top = (int(np.floor(value)) for value in sight[:2])
    right, bottom = (int(np.ceil(value)) for value in sight[2:])
    part = hidden[max(top, 0) : bottom, max(left, 0) : right]
    n_known = part.size - int(np.count_nonzero(part))
    share = n_known / ((right - left) * (bottom - top))
    return TOO_LITTLE_AROUND if share < LEAST_KNOWN else ""


def _as_box(row: Iterable[int]) -> IntBox:
    x0, y0, x1, y1 = (int(value) for value in row)
    return x0, y0, x1, y1


def _shorter_side(core: IntBox) -> int:
    return min(core[2] - core[0], core[3] - core[1])


def _has_area(box: IntBox) -> bool:
    return box[0] < box[2] and box[1] < box[3]


def _shared(a: IntBox, b: IntBox) -> IntBox:
    """Give what two boxes share; where that is nothing, a box that slices to nothing."""
    x0, y0, x1, y1 = max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])
    return x0, y0, max(x0, x1), max(y0, y1)
