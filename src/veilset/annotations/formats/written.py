# SPDX-License-Identifier: Apache-2.0
"""How files for other tools are written: whole or not at all, and what they cannot hold."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import ceil, floor
from pathlib import Path
from typing import IO, NamedTuple, TextIO

from veilset.annotations.formats.shapes import checked_name
from veilset.errors import AnnotationError
from veilset.files import discard_part, part_path
from veilset.types import Annotations, BoxXyxy, Region

_to_json = json.JSONEncoder(allow_nan=False).encode

# What XML 1.0 cannot hold, escaped or not.
_NOT_XML = frozenset(map(chr, [*range(9), 11, 12, *range(14, 32), 0xFFFE, 0xFFFF]))


class Exported(NamedTuple):
    """What was written.

    Attributes:
        n_images: Images.
        n_regions: Regions on them.
        n_left_out: Images that the format cannot hold: nobody looked at them, or could.
    """

    n_images: int
    n_regions: int
    n_left_out: int


@contextmanager
def replacing(path: Path) -> Iterator[TextIO]:
    """Give a text file to write that takes its name when the block ends well.

    Raises:
        AnnotationError: If it cannot be written.
    """
    part = part_path(path)
    try:
        with part.open("w", encoding="utf-8", newline="\n") as stream:
            yield stream
        part.replace(path)
    except OSError as error:
        raise _unwritable(path, error) from error
    finally:
        discard_part(part)


@contextmanager
def filling(folder: Path) -> Iterator[Path]:
    """Give a folder to fill that takes its name when the block ends well.

    Raises:
        AnnotationError: If it cannot be written, or there is something of that name that is
            not an empty folder.
    """
    part = part_path(folder.absolute())
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise AnnotationError(
                f"{folder} is there already, and files of this export would mix with what it "
                "holds. Choose another folder."
            )
        # Left by a process that was killed.
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir()
        yield part
        part.replace(folder)
    except OSError as error:
        raise _unwritable(folder, error) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _unwritable(path: Path, error: OSError) -> AnnotationError:
    return AnnotationError(
        f"{path} cannot be written ({error.strerror}). Choose a place where you may write."
    )


def scratch(folder: Path) -> IO[str]:
    """Give a text file without a name, for what is known early and written late."""
    return tempfile.TemporaryFile("w+", encoding="utf-8", newline="\n", dir=folder)


def write_beside(folder: Path, name: str, suffix: str, text: str, what: str) -> None:
    """Write the file that speaks of one image, named as the image with another suffix.

    Args:
        folder: Where such files go.
        name: Name of the image, with its suffix; folders in it are made.
        suffix: Suffix of the file.
        text: What it holds.
        what: Name of the format, for messages.

    Raises:
        AnnotationError: If the file of another image has that name, or it leads out of the
            folder.
    """
    path = (folder / checked_name(name, what)).with_suffix(suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("x", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
    except FileExistsError as error:
        raise AnnotationError(
            f"The image {name!r} and another one differ in their suffix only, and {what} has one "
            f"file, {path.name}, for both. Rename one of them, or choose another format."
        ) from error


def face_only(row: Annotations, region: Region, labels: Mapping[str, str], what: str) -> None:
    """Refuse a region that is no face, for a format that does not say what a box shows.

    Raises:
        AnnotationError: If it is none, also under the name that ``labels`` gives it.
    """
    if labels.get(region.kind, region.kind) != "face":
        raise AnnotationError(
            f"The image {row.image_id!r} has a region of the kind {region.kind!r}, and {what} "
            "holds boxes without a kind. Write the faces alone (kinds: face), or call it a face "
            f"(labels: {region.kind}=face)."
        )


def whole_box(box_xyxy: BoxXyxy) -> tuple[int, int, int, int]:
    """Round a box outward, for formats of whole pixels: it may grow, it never shrinks.

    Example:
        >>> whole_box((0.2, 1.0, 3.1, 1.0))
        (0, 1, 4, 1)
    """
    x0, y0, x1, y1 = box_xyxy
    return floor(x0), floor(y0), ceil(x1), ceil(y1)


def json_text(value: object, row: Annotations) -> str:
    """Give what is written about an image as JSON.

    Raises:
        AnnotationError: If it holds a number that is not finite, which JSON has no place for.
    """
    try:
        return _to_json(value)
    except ValueError as error:
        raise AnnotationError(
            f"The image {row.image_id!r} has an attribute that is not finite, which JSON cannot "
            "hold. Remove it."
        ) from error


def checked_xml_text(text: str, where: str) -> str:
    """Give a text that XML can hold.

    Raises:
        AnnotationError: If it holds a character that XML has no place for.
    """
    if any(letter in _NOT_XML or "\ud800" <= letter <= "\udfff" for letter in text):
        raise AnnotationError(
            f"{where}: the text {text[:40]!r} holds a character that XML cannot hold. Remove it."
        )
    return text
