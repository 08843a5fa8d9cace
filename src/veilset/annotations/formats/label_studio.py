# SPDX-License-Identifier: Apache-2.0
"""Label Studio's JSON: a list of tasks (https://labelstud.io/guide/task_format.html).

================== =================================================================
Label Studio       here
================== =================================================================
annotation         The image was looked at, by a person: regions are ``reviewed``. One
                   with an empty result is "looked, found none".
prediction         The image was looked at, by a model: regions are ``detected``. Counts
                   only where there is no annotation; of several, the last one.
neither, or only   ``not_looked``.
a skipped one
rectangle          A region. A rotated one (about its upper left corner), an ellipse and
                   a polygon: the upright box around it, with ``drawn_as``.
brush, key point   Refused: no box can be told from them.
choices, number,   Attributes of the region that they belong to, by the name of the
rating, text       control; those of the whole image are passed over.
``score``          The region's score, if it is in [0, 1].
``meta.veilset``   Origin, landmarks and attributes, where we wrote the file.
================== =================================================================

Places are percentages of ``original_width`` and ``original_height``, of the image as the
browser shows it, after EXIF orientation.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, unquote, urlsplit

from veilset.annotations.config import IMAGE_URL
from veilset.annotations.formats.json_items import iterate_items
from veilset.annotations.formats.shapes import (
    DRAWN_AS,
    checked_name,
    ellipse_box,
    enclosing_box,
    finite,
    pixels,
    rotated_box,
)
from veilset.annotations.formats.written import Exported, json_text, replacing
from veilset.errors import AnnotationError
from veilset.types import Annotations, BoxXyxy, Origin, Region, Status

SEVERAL = ("refuse", "newest", "all")

_OURS = "veilset"
_SHAPES = ("rectangle", "ellipse", "polygon")
_UNUSABLE = ("brush", "keypoint", "vector", "video", "cuboid")
_PER_REGION = ("choices", "number", "rating", "textarea")
# Label Studio puts eight digits of its own before the name of a file that was uploaded.
_UPLOADED = re.compile(r"/data/upload/(?:[0-9]+/)?(?:[0-9a-f]{8}-)?(.+)")

Json = Mapping[str, Any]


def read_label_studio(
    path: str | Path,
    *,
    kinds: Mapping[str, str] | None = None,
    prefix: str = "",
    image_key: str = "image",
    several: str = "refuse",
) -> Iterator[Annotations]:
    """Go through the tasks of a file, in its order.

    Args:
        path: Export of the format "JSON" (not JSON-MIN), or a list of tasks to import.
        kinds: What labels are called here; a label that is not named keeps its name, a
            shape without a label is a ``face``.
        prefix: Removed from the names of images that begin with it. The address before
            the path, and what Label Studio adds to uploaded files, are removed first.
        image_key: Where the image stands in the ``data`` of a task.
        several: What to do with a task that several people annotated, none of it being the
            ground truth: ``refuse``, take the ``newest``, or the regions of ``all``.

    Yields:
        One row for each task. Width and height are 0 where the task does not name them.

    Raises:
        AnnotationError: If the file cannot be read, or something in it cannot be used;
            the message says in which task.
    """
    if several not in SEVERAL:
        raise AnnotationError(f"several is {several!r}. Give one of: {', '.join(SEVERAL)}.")
    path = Path(path)
    for place, task in iterate_items(path):
        where = f"{path}, task {place}"
        try:
            yield _read_task(task, where, kinds or {}, prefix, image_key, several)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise AnnotationError(
                f"{where}: it is not of the form that Label Studio documents "
                f"({type(error).__name__}: {error}). Export it again as JSON."
            ) from error


def _read_task(
    task: Json, where: str, kinds: Mapping[str, str], prefix: str, image_key: str, several: str
) -> Annotations:
    if "data" not in task or not isinstance(task["data"], dict):
        raise AnnotationError(
            f"{where}: it has no data. Export the project as JSON; JSON-MIN does not say who "
            "looked at an image."
        )
    data = task["data"]
    if image_key not in data:
        raise AnnotationError(
            f"{where}: its data have no {image_key!r}, only {', '.join(sorted(data)) or 'nothing'}."
            " Name the key that holds the image."
        )
    name = checked_name(image_name(str(data[image_key])).removeprefix(prefix), where)
    known = data.get(_OURS, {})
    row = Annotations(
        name,
        Status.NOT_LOOKED,
        width=pixels(known.get("width", 0), where, "width"),
        height=pixels(known.get("height", 0), where, "height"),
        reason=str(known.get("reason", "")),
        message=str(known.get("message", "")),
    )
    looks, origin = _looks(task, where, several)
    if not looks:
        could_not = known.get("status") == Status.COULD_NOT_LOOK.value
        return replace(row, status=Status.COULD_NOT_LOOK if could_not else Status.NOT_LOOKED)
    regions: list[Region] = []
    size = (row.width, row.height)
    for look in looks:
        found, size = _read_result(look["result"], where, kinds, origin, size)
        regions += found
    width, height = size
    return replace(row, status=Status.LOOKED, regions=tuple(regions), width=width, height=height)


def image_name(address: str) -> str:
    """Give the path of an image from what Label Studio calls its address.

    Example:
        >>> image_name("/data/local-files/?d=photos/a%20b.jpg")
        'photos/a b.jpg'
        >>> image_name("/data/upload/3/8dc9e0c8-a.jpg"), image_name("s3://bucket/a/b.jpg")
        ('a.jpg', 'a/b.jpg')
    """
    uploaded = _UPLOADED.fullmatch(address)
    if uploaded:
        return unquote(uploaded[1])
    parts = urlsplit(address)
    local = parse_qs(parts.query).get("d")
    if parts.path.endswith("/local-files/") and local:
        return local[0]
    if parts.scheme and parts.netloc:
        return unquote(parts.path).lstrip("/")
    return address


def _looks(task: Json, where: str, several: str) -> tuple[Sequence[Json], Origin]:
    """Choose what counts of a task: annotations that were not skipped, else a prediction."""
    given = task.get("annotations", task.get("completions")) or []
    done = [each for each in given if not each.get("was_cancelled")]
    truth = [each for each in done if each.get("ground_truth")]
    if len(truth) == 1:
        return truth, Origin.REVIEWED
    if len(done) > 1 and several == "refuse":
        raise AnnotationError(
            f"{where}: {len(done)} people annotated it, and none of it is the one ground truth. "
            "Choose one in Label Studio, or take the newest or all."
        )
    if done:
        newest = sorted(done, key=lambda each: str(each.get("updated_at", "")))[-1:]
        return (newest if several == "newest" else done), Origin.REVIEWED
    predicted = task.get("predictions") or []
    return predicted[-1:], Origin.DETECTED


def _read_result(
    result: Sequence[Json],
    where: str,
    kinds: Mapping[str, str],
    origin: Origin,
    size_wh: tuple[int, int],
) -> tuple[list[Region], tuple[int, int]]:
    """Read one result list; give its regions and the size that they speak of."""
    said: dict[str, dict[str, str | int | float | bool]] = {}
    for item in result:
        if item.get("type") in _PER_REGION:
            value = item["value"][_value_key(item)]
            text = ", ".join(map(str, value)) if isinstance(value, list) else value
            said.setdefault(str(item.get("id")), {})[str(item["from_name"])] = text
    regions = []
    for place, item in enumerate(result, start=1):
        here = f"{where}, result {place}"
        shape = str(item.get("type", "")).removesuffix("labels")
        if shape in _UNUSABLE:
            raise AnnotationError(
                f"{here}: a {item['type']} cannot become a box. Draw a rectangle in its place."
            )
        if shape not in _SHAPES:
            continue
        size_wh = _size(item, here, size_wh)
        region = _read_shape(item, shape, here, kinds, origin, size_wh)
        attributes = said.get(str(item.get("id")), {}) | dict(region.attributes)
        regions.append(replace(region, attributes=attributes))
    return regions, size_wh


def _value_key(item: Json) -> str:
    return "text" if item["type"] == "textarea" else str(item["type"])


def _size(item: Json, where: str, known_wh: tuple[int, int]) -> tuple[int, int]:
    width = pixels(item.get("original_width"), where, "original_width")
    height = pixels(item.get("original_height"), where, "original_height")
    if not (width and height) or (all(known_wh) and known_wh != (width, height)):
        raise AnnotationError(
            f"{where}: the image has {width} x {height} px there, and {known_wh[0]} x "
            f"{known_wh[1]} elsewhere in the task. Percentages of it mean nothing."
        )
    if item.get("image_rotation"):
        raise AnnotationError(
            f"{where}: the image was turned in Label Studio ({item['image_rotation']} degrees). "
            "Turn it back there, and draw again."
        )
    return width, height


def _read_shape(
    item: Json,
    shape: str,
    where: str,
    kinds: Mapping[str, str],
    origin: Origin,
    size_wh: tuple[int, int],
) -> Region:
    value = item["value"]
    labels = value.get(f"{shape}labels") or value.get("labels") or ["face"]
    ours = (item.get("meta") or {}).get(_OURS) or {}
    turn = finite(value.get("rotation", 0) or 0, where, "rotation")
    attributes = dict(ours.get("attributes", {}))
    if shape != "rectangle" or turn:
        attributes[DRAWN_AS] = shape + (f" turned {turn:g} degrees" if turn else "")
    score = item.get("score")
    if score is not None and not 0 <= finite(score, where, "score") <= 1:
        attributes["score_given"], score = score, None
    return Region(
        _box(value, shape, where, turn, size_wh),
        kind=kinds.get(str(labels[0]), str(labels[0])),
        score=None if score is None else float(score),
        origin=Origin(ours.get("origin", origin.value)),
        landmarks_xy=tuple((float(x), float(y)) for x, y in ours.get("landmarks_xy", ())),
        attributes=attributes,
    )


def _box(value: Json, shape: str, where: str, turn: float, size_wh: tuple[int, int]) -> BoxXyxy:
    wide, tall = size_wh

    def x(key: str) -> float:
        return finite(value[key], where, key) * wide / 100

    def y(key: str) -> float:
        return finite(value[key], where, key) * tall / 100

    if shape == "polygon":
        points = [(finite(a, where, "x"), finite(b, where, "y")) for a, b in value["points"]]
        return enclosing_box((a * wide / 100, b * tall / 100) for a, b in points)
    if shape == "ellipse":
        return ellipse_box((x("x"), y("y")), (x("radiusX"), y("radiusY")), turn)
    box = (x("x"), y("y"), x("x") + x("width"), y("y") + y("height"))
    if not (box[0] <= box[2] and box[1] <= box[3]):
        raise AnnotationError(f"{where}: width or height is negative. Draw the box again.")
    return rotated_box(box, turn, box[:2]) if turn else box


def write_label_studio(
    path: str | Path,
    rows: Iterable[Annotations],
    *,
    labels: Mapping[str, str] | None = None,
    image_url: str = IMAGE_URL,
    is_reviewed: bool = False,
    control: tuple[str, str] = ("label", "image"),
) -> Exported:
    """Write annotations as tasks for Label Studio; the file appears whole or not at all.

    Images with nothing but detected regions become predictions, others annotations.

    Args:
        path: File to write, JSON.
        rows: In any order.
        labels: What kinds are called there; a kind that is not named keeps its name.
        image_url: What stands before the path of each image; the default is that of
            Label Studio's local storage.
        is_reviewed: Whether a person looked at the images without regions.
        control: Names of the ``RectangleLabels`` and the ``Image`` in the labelling setup.

    Raises:
        AnnotationError: If the size of an image with regions is not known, or the file
            cannot be written.
    """
    counts: Counter[str] = Counter()
    with replacing(Path(path)) as stream:
        stream.write("[")
        for row in rows:
            task = _task(row, labels or {}, image_url, is_reviewed, control)
            stream.write(",\n" if counts["images"] else "\n")
            stream.write(json_text(task, row))
            counts["images"] += 1
            counts["regions"] += len(row.regions)
        stream.write("\n]\n")
    return Exported(counts["images"], counts["regions"], 0)


def _task(
    row: Annotations,
    labels: Mapping[str, str],
    image_url: str,
    is_reviewed: bool,
    control: tuple[str, str],
) -> dict[str, Any]:
    about = {
        "status": row.status.value,
        "width": row.width,
        "height": row.height,
        "reason": row.reason,
        "message": row.message,
    }
    data = {"image": image_url + quote(row.image_id), _OURS: about}
    task: dict[str, Any] = {"data": data, "annotations": [], "predictions": []}
    if row.status is not Status.LOOKED:
        return task
    if row.regions and not (row.width and row.height):
        raise AnnotationError(
            f"The size of the image {row.image_id!r} is not known, and Label Studio takes "
            "percentages. Import the annotations with their photographs first."
        )
    result = [_item(row, place, labels, control) for place in range(len(row.regions))]
    is_detected = all(region.origin is Origin.DETECTED for region in row.regions)
    if is_detected and (row.regions or not is_reviewed):
        task["predictions"] = [{"model_version": _OURS, "result": result}]
    else:
        task["annotations"] = [{"result": result, "was_cancelled": False, "ground_truth": False}]
    return task


def _item(
    row: Annotations, place: int, labels: Mapping[str, str], control: tuple[str, str]
) -> dict[str, Any]:
    region = row.regions[place]
    x0, y0, x1, y1 = region.box_xyxy
    item: dict[str, Any] = {
        "id": f"r{place}",
        "type": "rectanglelabels",
        "from_name": control[0],
        "to_name": control[1],
        "original_width": row.width,
        "original_height": row.height,
        "image_rotation": 0,
        "value": {
            "x": x0 * 100 / row.width,
            "y": y0 * 100 / row.height,
            "width": (x1 - x0) * 100 / row.width,
            "height": (y1 - y0) * 100 / row.height,
            "rotation": 0,
            "rectanglelabels": [labels.get(region.kind, region.kind)],
        },
        "meta": {
            _OURS: {
                "origin": region.origin.value,
                "attributes": dict(region.attributes),
                "landmarks_xy": [list(point) for point in region.landmarks_xy],
            }
        },
    }
    if region.score is not None:
        item["score"] = region.score
    return item
