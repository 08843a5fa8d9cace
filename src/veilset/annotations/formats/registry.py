# SPDX-License-Identifier: Apache-2.0
"""The formats by name. One more is one more entry of ``FORMATS``."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TypeAlias

from veilset.annotations.config import ExportConfig, ImportConfig
from veilset.annotations.formats import coco, coco_reader, cvat, ilsvrc, voc, wider, yolo
from veilset.annotations.formats.label_studio import read_label_studio, write_label_studio
from veilset.annotations.formats.written import Exported
from veilset.errors import ConfigError
from veilset.types import Annotations

Rows: TypeAlias = Iterable[Annotations]


@dataclass(frozen=True, slots=True)
class Format:
    """A format of another tool.

    Attributes:
        name: As the command line takes it.
        title: What it is, for people.
        found_none: How it says that an image was searched and nothing was found.
        loses: What a file that is written cannot hold.
        read: Goes through the images of a file.
        write: Writes rows as a file. Is told whether a person looked at the images.
        is_folder: Whether it is a folder of files rather than one file.
        is_relative: Whether boxes are fractions of the image: an import needs the photographs.
        options: Settings of ``ImportConfig`` and ``ExportConfig`` that only some formats have.
        has_kinds: Whether it says what a box shows; otherwise all are faces.
        names_in_file: Gives the names under which a file may speak of an image.
        cap: Greatest number of regions of an image, after which its maker stopped looking;
            0 if there is none.
    """

    name: str
    title: str
    found_none: str
    loses: str
    read: Callable[[Path, ImportConfig], Iterator[Annotations]]
    write: Callable[[Path, Rows, ExportConfig, bool], Exported]
    is_folder: bool = False
    is_relative: bool = False
    has_kinds: bool = True
    options: frozenset[str] = frozenset()
    names_in_file: Callable[[str], tuple[str, ...]] = lambda image_id: (image_id,)
    cap: int = 0


_NO_MORE = "score, origin, landmarks, other attributes"

_ALL = (
    Format(
        "coco",
        "COCO's JSON for detection",
        "an image without annotations",
        "images not looked at",
        lambda path, how: coco_reader.read_coco(path, kinds=how.kinds, prefix=how.prefix),
        lambda path, rows, how, _: coco.write_coco(path, rows, labels=how.labels),
    ),
    Format(
        "cvat",
        "CVAT for images 1.1, XML or zip",
        "an image without shapes",
        "images not looked at",
        lambda path, how: cvat.read_cvat(path, kinds=how.kinds, prefix=how.prefix),
        lambda path, rows, how, _: cvat.write_cvat(path, rows, labels=how.labels),
    ),
    Format(
        "ilsvrc",
        "the released face annotations of ImageNet, JSON",
        "an entry without boxes",
        "images not looked at, size, kind, score, origin, landmarks, attributes",
        lambda path, how: ilsvrc.read_ilsvrc(path, prefix=how.prefix),
        lambda path, rows, how, _: ilsvrc.write_ilsvrc(path, rows, labels=how.labels),
        has_kinds=False,
        cap=ilsvrc.CAP,
    ),
    Format(
        "label-studio",
        "Label Studio's JSON, a list of tasks",
        "an annotation or prediction without a result",
        "digests of the images",
        lambda path, how: read_label_studio(
            path,
            kinds=how.kinds,
            prefix=how.prefix,
            image_key=how.image_key,
            several=how.several,
        ),
        lambda path, rows, how, is_reviewed: write_label_studio(
            path, rows, labels=how.labels, image_url=how.image_url, is_reviewed=is_reviewed
        ),
        options=frozenset({"image_key", "several", "image_url"}),
    ),
    Format(
        "voc",
        "Pascal VOC, a folder of XML files",
        "a file without objects",
        f"images not looked at, fractions of pixels (rounded outward), {_NO_MORE}",
        lambda path, how: voc.read_voc(path, kinds=how.kinds, prefix=how.prefix),
        lambda path, rows, how, _: voc.write_voc(path, rows, labels=how.labels),
        is_folder=True,
        names_in_file=voc.names_in_file,
    ),
    Format(
        "wider",
        "WIDER FACE's text",
        "an image with 0 faces",
        f"images not looked at, size, kind, fractions of pixels (rounded outward), {_NO_MORE}",
        lambda path, how: wider.read_wider(path, prefix=how.prefix),
        lambda path, rows, how, _: wider.write_wider(path, rows, labels=how.labels),
        has_kinds=False,
    ),
    Format(
        "yolo",
        "YOLO, a folder of text files and data.yaml",
        "an empty file",
        f"images not looked at, size, {_NO_MORE}",
        lambda path, how: yolo.read_yolo(path, kinds=how.kinds, prefix=how.prefix),
        lambda path, rows, how, _: yolo.write_yolo(path, rows, labels=how.labels),
        is_folder=True,
        is_relative=True,
        names_in_file=yolo.names_in_file,
    ),
)

FORMATS: Mapping[str, Format] = {each.name: each for each in _ALL}
"""Every format by its name, in the order of the names."""

_OPTIONS = frozenset[str]().union(*(each.options for each in _ALL))


def find_format(config: ImportConfig | ExportConfig) -> Format:
    """Give the format that a configuration names.

    Raises:
        ConfigError: If there is none of that name, or something is set that it does not have.

    Example:
        >>> find_format(ImportConfig("voc")).is_folder
        True
    """
    if config.format not in FORMATS:
        near = get_close_matches(config.format, FORMATS, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigError(
            f"No format is named {config.format!r}. Known: {', '.join(FORMATS)}.{hint}"
        )
    found = FORMATS[config.format]
    plain = type(config)(config.format)
    for option in _OPTIONS - found.options:
        given = getattr(config, option, None)
        if given != getattr(plain, option, None):
            raise ConfigError(
                f"The format {found.name} has no {option}, which was set to {given!r}. "
                "Leave it out."
            )
    if isinstance(config, ImportConfig) and config.kinds and not found.has_kinds:
        raise ConfigError(
            f"The format {found.name} does not say what a box shows, so that no label can be "
            f"called otherwise ({', '.join(config.kinds)}). Leave the kinds out."
        )
    return found
