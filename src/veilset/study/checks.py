# SPDX-License-Identifier: Apache-2.0
"""What has to be true of the images before anything is trained."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from veilset.annotations.store import AnnotationSet
from veilset.errors import AnnotationError, DatasetError
from veilset.files import sha256_file
from veilset.plugins import make_obfuscator
from veilset.study.config import StudyConfig
from veilset.study.lists import ImageList
from veilset.study.objects import read_objects
from veilset.types import Annotations

N_COMPARED = 256
"""Images of a setting that are compared with their originals."""


def check_settings(config: StudyConfig, lists: Mapping[str, ImageList]) -> None:
    """Compare images that have regions with their originals, where settings are folders.

    Raises:
        DatasetError: If an obfuscated image is its original, byte for byte, or a redaction
            layer is missing.
        AnnotationError: If the annotation set knows none of the images.
        PluginError, ConfigError: If a method is not known, or not with these parameters.
    """
    for spec in config.settings.values():
        if spec.method:
            make_obfuscator(spec.method, spec.parameters)
        if spec.layer is not None and not spec.layer.is_file():
            raise DatasetError(
                f"There is no redaction layer {spec.layer}, which the setting {spec.name!r} is. "
                "Check the path."
            )
    if config.data.annotations is None:
        return
    hidden = _evenly(list(_with_regions(config, lists)), N_COMPARED)
    base = config.settings[config.reference].root
    if base is None:
        return
    for spec in config.settings.values():
        if spec.root is None or spec.name == config.reference:
            continue
        for image_id, n_regions in hidden:
            if sha256_file(base / image_id) == sha256_file(spec.root / image_id):
                what = "1 region" if n_regions == 1 else f"{n_regions} regions"
                raise DatasetError(
                    f"{spec.name}/{image_id} has {what} to hide and is byte for byte that of "
                    f"{config.reference!r}. Obfuscate again; nothing was trained."
                )


def check_objects(config: StudyConfig, lists: Mapping[str, ImageList]) -> None:
    """Read the boxes of objects, if there are any, before hours of training rather than after.

    Raises:
        AnnotationError: If they cannot be used.
    """
    if config.data.objects is not None:
        read_objects(config.data.objects, lists["val"].image_ids, lists["val"].folders)


def _with_regions(config: StudyConfig, lists: Mapping[str, ImageList]) -> Iterator[tuple[str, int]]:
    """Give the images that have a region that counts, and how many."""
    for image_id, row in annotated(config, lists):
        n_regions = sum(region.passes(config.data.min_score) for region in row.regions)
        if n_regions:
            yield image_id, n_regions


def annotated(
    config: StudyConfig, lists: Mapping[str, ImageList]
) -> Iterator[tuple[str, Annotations]]:
    """Go through what the annotation set says of the images of a study, in its order.

    Its names may begin below the root of the settings, or below the folder of a split: the
    first image that is known decides for all.

    Raises:
        AnnotationError: If it cannot be used, knows none of the images, or it cannot be told of
            which split it is.
    """
    folder = config.data.annotations
    if folder is None:
        return
    wanted = {image_id for images in lists.values() for image_id in images.image_ids}
    before: str | None = None
    for row in AnnotationSet(folder):
        if before is None:
            prefixes = ("", f"{config.data.train}/", f"{config.data.val}/")
            fitting = [each for each in prefixes if each + row.image_id in wanted]
            before = _only_one(config, row, fitting)
        if before is not None and before + row.image_id in wanted:
            yield before + row.image_id, row
    if before is None:
        raise AnnotationError(
            f"The annotation set {folder} knows none of the images of the study, as "
            f"{next(iter(lists.values())).image_ids[0]!r}. Detect in the folder of the setting "
            f"{config.reference!r}, or correct data.annotations."
        )


def _only_one(config: StudyConfig, row: Annotations, prefixes: Sequence[str]) -> str | None:
    """Choose where the names of the annotation set begin, by the file if two are called alike."""
    if len(prefixes) < 2:
        return prefixes[0] if prefixes else None
    root = config.settings[config.reference].root
    same = [
        each
        for each in prefixes
        if root is not None and row.sha256 == sha256_file(root / each / row.image_id)
    ]
    if len(same) == 1:
        return same[0]
    places = " and ".join(repr(each + row.image_id) for each in prefixes)
    raise AnnotationError(
        f"The annotation set {config.data.annotations} speaks of {row.image_id!r}, and the study "
        f"has {places}: which is meant cannot be told. Detect in the folder of the setting "
        f"{config.reference!r}, which holds both."
    )


def _evenly(rows: Sequence[tuple[str, int]], n_wanted: int) -> list[tuple[str, int]]:
    """Give some of the rows, evenly spaced, the first among them."""
    if len(rows) <= n_wanted:
        return list(rows)
    return [rows[place * len(rows) // n_wanted] for place in range(n_wanted)]
