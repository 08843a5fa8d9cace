# SPDX-License-Identifier: Apache-2.0
"""Search outputs again, as somebody would who wants to find a face in them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from veilset.boxes import outer_pixels
from veilset.errors import BrokenPluginError, LicenceError, RunError, VeilsetError
from veilset.files import sha256_hex
from veilset.networks.searching import search_renderings
from veilset.plugins import list_plugins, make_detector
from veilset.protocols import Detector
from veilset.records.verdicts import MISSED_FACE, Finding, Level
from veilset.types import BoxXyxy, Image, IntBoxes, ModelCard, Region
from veilset.verify.config import VerifyConfig

log = logging.getLogger(__name__)

MIN_COVERED = 0.5
"""A detection counts as inside the obfuscated regions if this share of its area is.

Detectors often still see *that* there is a face behind a blur, and draw the box around
the blurred head a little wider than the region; with half of it outside, it is something
else."""


@dataclass(frozen=True, slots=True)
class Eyes:
    """The detectors of a verification.

    Attributes:
        detectors: By name, the release's own kind of detector first.
        skipped: Installed ones that cannot be used here, with the reason.
    """

    detectors: dict[str, Detector]
    skipped: dict[str, str]

    @property
    def cards(self) -> list[ModelCard]:
        """Where the weights come from."""
        return [detector.card for detector in self.detectors.values()]

    @property
    def batch_size(self) -> int:
        """How many images to hand over at once."""
        return max((each.batch_size for each in self.detectors.values()), default=1)


def open_eyes(config: VerifyConfig, effort: str, n_threads: int) -> Eyes:
    """Build the detectors.

    Args:
        config: Which, and how.
        effort: Effort of all of them.
        n_threads: How many threads will use them at the same time.

    Raises:
        UnknownPluginError, PluginError, ConfigError, MissingExtraError: If one that was
            named cannot be built. Those found by themselves are left out instead.
        LicenceError: If commercial use was asked for and a licence does not allow it.
    """
    if config.recheck == "none":
        return Eyes({}, {})
    settings = config.settings(effort, n_threads)
    detectors = {config.detector: _checked(make_detector(config.detector, settings), config)}
    skipped: dict[str, str] = {}
    if config.second_detectors is not None:
        for name in config.second_detectors:
            detectors[name] = _checked(make_detector(name, settings), config)
        return Eyes(detectors, skipped)
    unasked = replace(settings, is_asked_for=False)
    for info in list_plugins("detector"):
        if info.name in detectors:
            continue
        try:
            detectors[info.name] = _checked(make_detector(info.name, unasked), config)
        except (VeilsetError, ImportError) as error:
            skipped[info.name] = str(error)
            log.info("The detector %s is not used: %s", info.name, error)
    return Eyes(detectors, skipped)


def _checked(detector: Detector, config: VerifyConfig) -> Detector:
    if config.commercial_ok and not detector.card.commercial_ok:
        raise LicenceError(
            f"The licence of the weights {detector.card.name!r} ({detector.card.licence}) is not "
            "known to allow commercial use, which was asked for. Use another detector."
        )
    return detector


def is_sampled(image_id: str, seed: int, share: float) -> bool:
    """Whether an image is in a sample; the same on every engine and in every order.

    Args:
        image_id: Name of the image.
        seed: Seed of the run.
        share: Share of the images in the sample, in [0, 1].

    Example:
        >>> sum(is_sampled(f"{i}.jpg", 0, 0.1) for i in range(1000))
        104
    """
    place = int(sha256_hex(f"sample/{seed}/{image_id}".encode())[:16], 16)
    return place < share * 2**64


def sample_share(config: VerifyConfig, n_images: int) -> float:
    """Give the share of images to sample: as asked for, or what the minimum needs.

    Args:
        config: ``recheck_sample`` and ``recheck_minimum`` are used.
        n_images: How many images the sample is taken from.
    """
    if n_images < 1 or not config.recheck_sample:
        return config.recheck_sample
    return min(1.0, max(config.recheck_sample, config.recheck_minimum / n_images))


def search(
    detector: Detector, images: Sequence[Sequence[Image]]
) -> list[tuple[Region, ...] | Exception]:
    """Search images, each in its renderings, together; one by one if that fails.

    So each has its own answer.

    Raises:
        RunError: If a service is out of reach or refuses the account: no image can be searched.
        BrokenPluginError: If the detector does not answer for each: it is of no use here.
    """
    try:
        return list(search_renderings(detector, images)) if images else []
    except (RunError, BrokenPluginError):
        raise
    except Exception as error:  # noqa: BLE001  one bad image never stops the run
        if len(images) == 1:
            return [error]
    # Not above: what one image comes to would seem to follow from what all came to.
    return [answer for image in images for answer in search(detector, [image])]


def missed_faces(
    name: str,
    regions: Sequence[Region],
    cores: IntBoxes,
    size_wh: tuple[int, int],
    leak_score: float,
) -> Iterator[Finding]:
    """Give a finding for each detection that nothing hides.

    Args:
        name: Name of the detector.
        regions: What it found in the output.
        cores: ``(N, 4)``, pixels that are obfuscated.
        size_wh: Width and height of the image in pixels.
        leak_score: From this score on it is a leak; a detection without one is.
    """
    for region in regions:
        if covered_share(region.box_xyxy, cores, size_wh) >= MIN_COVERED:
            continue
        # "not <": a score that is no number must not pass.
        is_leak = region.score is None or not region.score < leak_score
        yield Finding(
            code=MISSED_FACE,
            level=Level.LEAK if is_leak else Level.REVIEW,
            message=(
                f"The detector {name!r} finds a {region.kind} that nothing hides. Look at it; "
                "if it is one, add it (veilset annotations add-findings) and obfuscate again."
            ),
            box_xyxy=region.box_xyxy,
            score=region.score,
            detector=name,
            kind=region.kind,
        )


def covered_share(box_xyxy: BoxXyxy, cores: IntBoxes, size_wh: tuple[int, int]) -> float:
    """Give the share of a box's pixels that lie in the union of the cores.

    Args:
        box_xyxy: The box, pixels; rounded outward and cut to the image.
        cores: ``(N, 4)``, whole pixels.
        size_wh: Width and height of the image in pixels.

    Example:
        >>> covered_share((0, 0, 4, 4), np.array([[0, 0, 4, 1], [0, 0, 1, 4]]), (8, 8))
        0.4375
    """
    x0, y0, x1, y1 = (int(value) for value in outer_pixels([box_xyxy], size_wh)[0])
    if x0 >= x1 or y0 >= y1:
        return 0.0
    inside = np.zeros((y1 - y0, x1 - x0), dtype=np.bool_)
    for cx0, cy0, cx1, cy1 in np.clip(cores - [x0, y0, x0, y0], 0, None):
        inside[cy0:cy1, cx0:cx1] = True
    return float(inside.mean())
