# SPDX-License-Identifier: Apache-2.0
"""The detector ``rekognition``: Amazon's DetectFaces, which SENDS THE PICTURES TO AMAZON.

Therefore it is built only where it is named, and ``cost_notice`` says beforehand what it
costs. What is sent is pixels, encoded anew: no metadata and no name of the file.

What the service takes and gives (https://docs.aws.amazon.com/rekognition/latest/dg/limits.html
and API_DetectFaces.html):

- JPEG or PNG of at most 5 MB where the bytes are sent (15 MB only from S3, which is not
  used). A picture is sent as JPEG, of less quality and in the end smaller until it fits.
- Sides of at least 80 px. A smaller picture is padded with black, right and bottom.
- Only the 100 largest faces. A picture that gives 100 is asked again in overlapping
  quarters, and those again if need be; a picture that cannot be searched to the end is
  refused, never passed over.
- No face below 40 px in a picture of 1920 x 1080; in a larger picture the least size grows
  with it. With the effort ``thorough`` such a picture is asked in quarters as well.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite, sqrt
from types import MappingProxyType
from typing import Any

import numpy as np
from PIL import Image as PillowImage

from veilset.aws import Patience, ask, code_of, open_client
from veilset.boxes import clip
from veilset.detect.quarters import Look, merged, quarters
from veilset.errors import ConfigError, DecodeError, PluginError
from veilset.protocols import DEVICES, EFFORTS, PRECISIONS, Detector, DetectorSettings
from veilset.types import Image, ModelCard, Region

NAME = "rekognition"
PRICES_USD = ((1_000_000, 0.0010), (4_000_000, 0.0008), (None, 0.0006))
"""List price of a picture, tier by tier of a month's pictures. The page announces a lower
price beyond 35 million that is not reckoned with: the estimate is then too high."""

PRICES_READ = "2026-10-07, https://aws.amazon.com/rekognition/pricing/"
THRESHOLD = 0.5
"""Lowest score that counts unless the settings say otherwise. A convention, NOT measured."""

MAX_FACES = 100
MAX_BYTES = 5_000_000
QUALITIES = (95, 90, 85)
LEAST_SIDE_PX = 80
FULL_HD_WH = (1920, 1080)
MAX_DEPTH = 3
"""How often a picture is quartered at most: into 64 parts."""

_MAX_JPEG_SIDE_PX = 65_500
_LANDMARKS = ("eyeLeft", "eyeRight", "nose", "mouthLeft", "mouthRight")
_REFUSALS = {
    "ImageTooLargeException": ("over-limit", "Amazon refuses the picture as too large."),
    "InvalidImageFormatException": ("unsupported", "Amazon cannot read the picture."),
}


@dataclass(frozen=True, slots=True)
class CostEstimate:
    """What a search costs at list price, before tax and free tier.

    Attributes:
        n_calls: Pictures that are sent at least.
        usd: What they cost, in US dollars.
        n_calls_most: Pictures that are sent at most, crowds of 100 faces aside.
        usd_most: What those cost.
    """

    n_calls: int
    usd: float
    n_calls_most: int
    usd_most: float


def list_price(n_calls: int, *, n_before: int = 0) -> float:
    """Give the list price of some calls in US dollars (``PRICES_USD``, ``PRICES_READ``).

    Args:
        n_calls: Pictures to send.
        n_before: Pictures that the account has sent this month already.

    Example:
        >>> round(list_price(1_431_093), 2)
        1344.87
    """
    total, start, end = 0.0, 0, 0
    for size, price in PRICES_USD:
        start, end = end, n_before + n_calls if size is None else end + size
        inside = min(end, n_before + n_calls) - max(start, n_before)
        total += max(0, inside) * price
    return total


def estimate_cost(n_images: int, *, effort: str = "balanced", n_before: int = 0) -> CostEstimate:
    """Estimate what searching a data set costs; nothing is sent.

    One call more than there are images: the detector asks about an empty picture first,
    so that missing permissions show before anything of the data set is sent.

    Args:
        n_images: Images of the data set.
        effort: ``thorough`` sends pictures above 1920 x 1080 px in quarters as well.
        n_before: Pictures that the account has sent this month already.

    Raises:
        ConfigError: If a number is negative.

    Example:
        >>> estimate_cost(999).usd
        1.0
    """
    if n_images < 0 or n_before < 0:
        raise ConfigError(f"{n_images} images after {n_before} cannot be. Give numbers from 0 on.")
    n_calls = n_images + 1
    n_most = n_images * (5 if effort == "thorough" else 1) + 1
    usd, usd_most = (list_price(n, n_before=n_before) for n in (n_calls, n_most))
    return CostEstimate(n_calls, usd, n_most, usd_most)


def cost_notice(n_images: int, *, effort: str = "balanced") -> str:
    """Say for people what searching a data set sends where, and what it costs."""
    cost = estimate_cost(n_images, effort=effort)
    amount = f"${cost.usd:,.2f}"
    if cost.usd_most > cost.usd:
        amount += f" to ${cost.usd_most:,.2f}"
    return (
        f"The detector '{NAME}' sends {n_images:,} pictures to Amazon, where they leave your "
        f"control. It costs about {amount} (list price as of {PRICES_READ}: check it), and more "
        f"for pictures of {MAX_FACES} faces and above, which are sent in parts as well."
    )


class Rekognition:
    """Amazon Rekognition; a ``Detector``.

    The score is Amazon's confidence divided by 100. Results are not reproducible: the
    service says neither which model answers nor when it changes.

    Args:
        client: Client of boto3 for ``rekognition``; may be used by several threads.
        settings: ``effort``, ``threshold`` are used; the others are checked.
        patience: How long a busy service is waited for.
        sleep: Waits for so many seconds.

    Raises:
        ConfigError: If a setting cannot be used.
    """

    batch_size = 1

    def __init__(
        self,
        client: Any,
        settings: DetectorSettings,
        *,
        patience: Patience | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        _check(settings)
        self._client = client
        self._patience = patience or Patience()
        self._sleep = sleep
        self._threshold = THRESHOLD if settings.threshold is None else settings.threshold
        self._is_thorough = settings.effort == "thorough"
        region = str(client.meta.region_name)
        self.card = ModelCard(
            name=NAME,
            origin=f"Amazon Rekognition, DetectFaces, region {region}; a service, no weight file",
            licence="AWS Customer Agreement and AWS Service Terms",
            commercial_ok=True,
            note=(
                "Pictures are sent to Amazon, and each is paid for. Amazon may keep them to "
                "improve its services unless the account opted out (AWS Organizations, AI "
                "services opt-out policy). Which model answers is not stated."
            ),
        )
        self.settings: Mapping[str, str | int | float | bool] = MappingProxyType(
            {
                "detector": NAME,
                "runtime": "amazon",
                "region": region,
                "model_version": "not stated by the service",
                "threshold": self._threshold,
                "jpeg_qualities": " ".join(map(str, QUALITIES)),
                "max_sent_bytes": MAX_BYTES,
                "quarters_from_faces": MAX_FACES,
                "quarters_of_large_pictures": self._is_thorough,
            }
        )

    def detect(self, images: Sequence[Image]) -> list[tuple[Region, ...]]:
        """Find the faces of each image; see ``Detector.detect``.

        Raises:
            RunError: If Amazon cannot be reached or refuses the account.
            DecodeError: If Amazon refuses the picture, or it cannot be searched to the end.
        """
        return [self._search(image) for image in images]

    def _search(self, image: Image) -> tuple[Region, ...]:
        height, width = image.shape[:2]
        looks = list(self._looks(image, (0, 0, width, height), depth=0))
        regions = []
        for region in merged(looks, (width, height)):
            x0, y0, x1, y1 = clip([region.box_xyxy], (width, height))[0].tolist()
            if (region.score or 0.0) >= self._threshold and x0 < x1 and y0 < y1:
                regions.append(replace(region, box_xyxy=(x0, y0, x1, y1)))
        return tuple(sorted(regions, key=lambda region: (-(region.score or 0), region.box_xyxy)))

    def _looks(
        self, image: Image, frame: tuple[int, int, int, int], *, depth: int
    ) -> Iterator[Look]:
        x0, y0, x1, y1 = frame
        look = Look(self._ask(image[y0:y1, x0:x1], (x0, y0)), frame)
        yield look
        is_full = len(look.regions) >= MAX_FACES
        sides = sorted((x1 - x0, y1 - y0), reverse=True)
        is_large = sides[0] > FULL_HD_WH[0] or sides[1] > FULL_HD_WH[1]
        if not (is_full or (self._is_thorough and is_large and depth == 0)):
            return
        if depth == MAX_DEPTH:
            raise DecodeError(
                "over-limit",
                f"Amazon names at most {MAX_FACES} faces of a picture, and this one has so many "
                "even in its smallest parts. Search it with another detector.",
            )
        for part in quarters(frame):
            yield from self._looks(image, part, depth=depth + 1)

    def _ask(self, view: Image, origin_xy: tuple[int, int]) -> tuple[Region, ...]:
        padded = _at_least(view, LEAST_SIDE_PX)
        sent = _encoded(padded)
        exceptions = self._client.exceptions
        try:
            answer = ask(
                lambda: self._client.detect_faces(Image={"Bytes": sent}, Attributes=["DEFAULT"]),
                service="Amazon Rekognition",
                patience=self._patience,
                sleep=self._sleep,
            )
        except exceptions.ClientError as error:
            code = code_of(error)
            reason, what = _REFUSALS.get(code, ("error", "Amazon refuses the picture."))
            raise DecodeError(reason, f"{what} ({code}) Use another detector for it.") from error
        return read_faces(answer, (padded.shape[1], padded.shape[0]), origin_xy)


def read_faces(
    answer: Mapping[str, Any], size_wh: tuple[int, int], origin_xy: tuple[int, int] = (0, 0)
) -> tuple[Region, ...]:
    """Turn an answer of DetectFaces into regions, in pixels, not cut to the picture.

    Args:
        answer: What the service gave: boxes and landmarks as shares of the picture.
        size_wh: Width and height of the picture that was sent, before it was made smaller.
        origin_xy: Where its upper left corner lies in the image.

    Raises:
        PluginError: If the answer is not of the documented form.

    Example:
        >>> box = {"Left": -0.1, "Top": 0.5, "Width": 0.2, "Height": 0.25}
        >>> answer = {"FaceDetails": [{"BoundingBox": box, "Confidence": 99.0}]}
        >>> read_faces(answer, (100, 40))[0].box_xyxy
        (-10.0, 20.0, 10.0, 30.0)
    """
    try:
        return tuple(_region(face, size_wh, origin_xy) for face in answer["FaceDetails"])
    except (KeyError, TypeError, ValueError) as error:
        raise PluginError(
            "Amazon's answer is not of the form that DetectFaces documents "
            f"({type(error).__name__}: {error}). Upgrade Veilset, or use another detector."
        ) from error


def _region(
    face: Mapping[str, Any], size_wh: tuple[int, int], origin_xy: tuple[int, int]
) -> Region:
    box, confidence = face["BoundingBox"], float(face["Confidence"])
    numbers = [float(box[name]) for name in ("Left", "Top", "Width", "Height")]
    if not all(map(isfinite, [*numbers, confidence])):
        raise ValueError("a number is not finite")
    left, top, wide, tall = numbers
    low = _pixel(left, top, size_wh, origin_xy)
    high = _pixel(left + max(0.0, wide), top + max(0.0, tall), size_wh, origin_xy)
    points = {each["Type"]: each for each in face.get("Landmarks", ())}
    marks: tuple[tuple[float, float], ...] = ()
    if all(name in points for name in _LANDMARKS):
        found = [(float(points[name]["X"]), float(points[name]["Y"])) for name in _LANDMARKS]
        marks = tuple(_pixel(x, y, size_wh, origin_xy) for x, y in found)
    score = min(max(confidence / 100, 0.0), 1.0)
    return Region((*low, *high), score=score, landmarks_xy=marks)


def _pixel(
    x: float, y: float, size_wh: tuple[int, int], origin_xy: tuple[int, int]
) -> tuple[float, float]:
    return x * size_wh[0] + origin_xy[0], y * size_wh[1] + origin_xy[1]


def _at_least(picture: Image, side_px: int) -> Image:
    missing = [max(0, side_px - side) for side in picture.shape[:2]]
    return np.pad(picture, ((0, missing[0]), (0, missing[1]), (0, 0))) if any(missing) else picture


def _encoded(picture: Image, max_bytes: int = MAX_BYTES) -> bytes:
    """Encode pixels as JPEG of at most so many bytes: less quality first, then fewer pixels.

    The service speaks in shares of the picture, so that its size does not matter for boxes.
    """
    shown = PillowImage.fromarray(np.ascontiguousarray(picture))
    if max(shown.size) > _MAX_JPEG_SIDE_PX:
        shown.thumbnail((_MAX_JPEG_SIDE_PX, _MAX_JPEG_SIDE_PX))
    for quality in QUALITIES:
        data = _jpeg(shown, quality)
        if len(data) <= max_bytes:
            return data
    while len(data) > max_bytes:
        factor = min(0.9, 0.95 * sqrt(max_bytes / len(data)))
        size = (max(1, int(shown.width * factor)), max(1, int(shown.height * factor)))
        shown = shown.resize(size, PillowImage.Resampling.LANCZOS)
        data = _jpeg(shown, QUALITIES[-1])
    return data


def _jpeg(shown: PillowImage.Image, quality: int) -> bytes:
    target = io.BytesIO()
    shown.save(target, "JPEG", quality=quality, subsampling=0)
    return target.getvalue()


def _check(settings: DetectorSettings) -> None:
    for field, value, known in (
        ("effort", settings.effort, EFFORTS),
        ("precision", settings.precision, PRECISIONS),
        ("device", settings.device, DEVICES),
    ):
        if value not in known:
            raise ConfigError(f"--{field} is {value!r}. Give one of: {', '.join(known)}.")
    if settings.weights:
        raise ConfigError(f"The detector '{NAME}' takes no weight file. Leave out --weights.")
    if settings.device == "cuda":
        raise ConfigError(f"The detector '{NAME}' works at Amazon. Leave out --device cuda.")
    if settings.threshold is not None and not 0 <= settings.threshold <= 1:
        raise ConfigError(f"--threshold is {settings.threshold}. Give a number from 0 to 1.")


def make(settings: DetectorSettings) -> Detector:
    """Build the detector ``rekognition``, and ask Amazon about an empty picture.

    Raises:
        ConfigError: If a setting cannot be used, nobody asked for this detector, or the
            machine has no AWS credentials or region.
        MissingExtraError: If boto3 is not installed.
        RunError: If Amazon cannot be reached or refuses the account.
    """
    _check(settings)
    if not settings.is_asked_for:
        raise ConfigError(
            f"The detector '{NAME}' sends pictures to Amazon, so it is used only where it is "
            f"named. Name it with --detector {NAME}, or with --second {NAME}."
        )
    purpose = f"The detector '{NAME}'"
    client = open_client(NAME, purpose=purpose, connections=max(10, settings.n_threads))
    detector = Rekognition(client, settings)
    # Missing permissions have to show now, and not once for each image.
    detector.detect([np.full((LEAST_SIDE_PX, LEAST_SIDE_PX, 3), 128, np.uint8)])
    return detector
