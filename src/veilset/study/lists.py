# SPDX-License-Identifier: Apache-2.0
"""The images of a study: the same in every setting, or nothing is trained."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from veilset.dataset.folder import IMAGE_SUFFIXES, has_suffix
from veilset.errors import DatasetError
from veilset.records.studies import files_digest
from veilset.study.config import DataSpec, SettingSpec, StudyConfig
from veilset.study.layout import LIST_FORMAT, LIST_SCHEMA, IntVector, open_table, write_table

SPLITS = ("train", "val")


@dataclass(frozen=True, slots=True, eq=False)
class ImageList:
    """The images of a split, in order.

    Attributes:
        image_ids: Paths from the root of a setting.
        labels: ``(N,)`` int64, places in ``classes``.
        classes: Names of the classes.
    """

    image_ids: tuple[str, ...]
    labels: IntVector
    classes: tuple[str, ...]

    @property
    def folders(self) -> tuple[str, ...]:
        """Name of the class of each image, which is that of its folder."""
        return tuple(self.classes[label] for label in self.labels)

    @property
    def sha256(self) -> str:
        """Digest of names, labels and classes, lower-case hex."""
        digest = hashlib.sha256("\0".join(self.classes).encode())
        for image_id, label in zip(self.image_ids, self.labels.tolist(), strict=True):
            digest.update(f"\n{image_id}\t{label}".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class FoundImages:
    """What lies in the folders of a study.

    Attributes:
        lists: The images, by split.
        files_sha256: For each setting and split a digest of names and sizes of the files.
        left_out: Images that not all settings have; empty unless ``images`` is ``shared``.
    """

    lists: Mapping[str, ImageList]
    files_sha256: Mapping[str, Mapping[str, str]]
    left_out: tuple[str, ...]


def find_images(config: StudyConfig) -> FoundImages:
    """Look into the folders of all settings.

    Raises:
        DatasetError: If a folder is missing, or settings hold different classes or images.
    """
    folders = {each.name: each for each in config.settings.values() if each.kind == "folder"}
    classes = _classes(config.data, folders)
    lists, left_out = {}, []
    digests: dict[str, dict[str, str]] = {name: {} for name in config.settings}
    for split in SPLITS:
        found = {
            name: _files_of(spec, _folder_of(config.data, split), classes)
            for name, spec in folders.items()
        }
        names, lacking = _common(config, split, found)
        left_out += lacking
        lists[split] = _as_list(names, classes, _folder_of(config.data, split), split)
        kept = set(lacking)
        for spec in config.settings.values():
            files = found[spec.name if spec.kind == "folder" else spec.of]
            digests[spec.name][split] = _digest(files, kept)
    return FoundImages(lists, digests, tuple(left_out))


def write_list(path: Path, images: ImageList) -> None:
    """Write the images of a split.

    Raises:
        RunError: If it cannot be written.
    """
    columns = [pa.array(images.image_ids, pa.string()), pa.array(images.labels, pa.int32())]
    write_table(path, pa.Table.from_arrays(columns, schema=LIST_SCHEMA))


def read_list(path: Path, classes: Sequence[str]) -> ImageList:
    """Read what ``write_list`` wrote.

    Raises:
        RunError: If it is missing or damaged.
    """
    table = open_table(path, LIST_FORMAT)
    labels = table["label"].to_numpy().astype(np.int64)
    return ImageList(tuple(table["image_id"].to_pylist()), labels, tuple(classes))


def _folder_of(data: DataSpec, split: str) -> str:
    return data.train if split == "train" else data.val


def _classes(data: DataSpec, folders: Mapping[str, SettingSpec]) -> tuple[str, ...]:
    """Give the classes in order; the same in all settings and both splits."""
    first_place, first = "", frozenset[str]()
    for name, spec in folders.items():
        for split in (data.train, data.val):
            here, place = frozenset(_folders(spec, split)), f"{name}/{split}"
            if not first_place:
                first_place, first = place, here
            elif different := sorted(here ^ first):
                owner = place if different[0] in here else first_place
                more = f" ({len(different) - 1} more)" if different[1:] else ""
                raise DatasetError(
                    f"{first_place} and {place} hold different classes: {different[0]!r} is only "
                    f"in {owner}{more}. Give both the same folders."
                )
    if data.classes is None:
        return tuple(sorted(first))
    chosen = _listed_classes(data.classes)
    if unknown := [each for each in chosen if each not in first]:
        raise DatasetError(
            f"{data.classes} names the class {unknown[0]!r}, and {first_place} has no such folder. "
            "Correct the list."
        )
    return chosen


def _listed_classes(path: Path) -> tuple[str, ...]:
    try:
        names = json.loads(path.read_bytes())
    except OSError as error:
        raise DatasetError(f"{path} cannot be read ({error.strerror}). Check the path.") from error
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is not valid JSON. Give a list of folder names.") from error
    is_list = isinstance(names, list) and all(isinstance(each, str) for each in names)
    if not is_list or len(set(names)) != len(names) or len(names) < 2:
        raise DatasetError(f"{path} is no list of two or more different folder names.")
    return tuple(names)


def _folders(spec: SettingSpec, split: str) -> list[str]:
    place = Path(spec.root or "") / split
    try:
        with os.scandir(place) as entries:
            names = sorted(each.name for each in entries if each.is_dir())
    except OSError as error:
        raise DatasetError(
            f"The setting {spec.name!r} cannot be read: {place} ({error.strerror}). "
            "Check root, data.train and data.val in study.yaml."
        ) from error
    names = [name for name in names if not name.startswith(".")]
    if len(names) < 2:
        raise DatasetError(f"{place} has fewer than two folders of classes. A study needs them.")
    return names


def _files_of(spec: SettingSpec, split: str, classes: Sequence[str]) -> dict[str, int]:
    """Give name and size of every image of a split, class by class, sorted within each."""
    root = Path(spec.root or "")
    files: dict[str, int] = {}
    for name in classes:
        # As ImageFolder orders them: by folder, then by name.
        try:
            found = sorted(
                _walk(root / split / name, f"{split}/{name}"),
                key=lambda file: file[0].rpartition("/"),
            )
        except OSError as error:
            raise DatasetError(
                f"The setting {spec.name!r} cannot be read: {error.filename} ({error.strerror}). "
                "Mend that, or take it away from all settings."
            ) from error
        if not found:
            raise DatasetError(
                f"{spec.name}/{split} has no image of the class {name!r}: what is said of it "
                "would mean nothing. Add images, or leave the class out of all settings."
            )
        files.update(found)
    return files


def _walk(folder: Path, name: str) -> Iterator[tuple[str, int]]:
    # A list instead of recursion: a tree may be deeper than Python's stack.
    left = [(str(folder), name)]
    while left:
        folder_path, prefix = left.pop()
        with os.scandir(folder_path) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.is_dir():
                    left.append((entry.path, f"{prefix}/{entry.name}"))
                elif has_suffix(entry.name, IMAGE_SUFFIXES):
                    if not entry.name.isascii():
                        _check_text(entry.name, prefix)
                    yield f"{prefix}/{entry.name}", entry.stat().st_size


def _check_text(name: str, folder: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError as error:
        shown = name.encode(errors="surrogateescape").decode(errors="backslashreplace")
        raise DatasetError(
            f"The name {shown} in {folder} is no UTF-8. Rename the file in all settings."
        ) from error


def _common(
    config: StudyConfig, split: str, found: Mapping[str, Mapping[str, int]]
) -> tuple[list[str], list[str]]:
    """Give the images that all settings have, and those that only some have."""
    first = next(iter(found))
    base = config.reference if config.reference in found else first
    everywhere = set(found[base])
    somewhere = set(everywhere)
    for name, files in found.items():
        here = set(files)
        if config.data.images == "same" and here != set(found[base]):
            raise _different(base, name, _folder_of(config.data, split), set(found[base]), here)
        everywhere &= here
        somewhere |= here
    return [each for each in found[base] if each in everywhere], sorted(somewhere - everywhere)


def _different(base: str, name: str, split: str, first: set[str], here: set[str]) -> DatasetError:
    lacks, owner, missing = name, base, sorted(first - here)
    if not missing:
        lacks, owner, missing = base, name, sorted(here - first)
    images = f"{len(missing):,} image{'s' if missing[1:] else ''}"
    return DatasetError(
        f"{lacks}/{split} misses {images} that {owner} has, the first {missing[0]!r}. Obfuscate "
        "them, or set images: shared under data to leave them out of all settings."
    )


def _as_list(names: Sequence[str], classes: Sequence[str], folder: str, split: str) -> ImageList:
    places = {name: place for place, name in enumerate(classes)}
    depth = folder.count("/") + 1
    labels = np.array([places[name.split("/")[depth]] for name in names], dtype=np.int64)
    counts = np.bincount(labels, minlength=len(classes))
    if not counts.all():
        raise DatasetError(
            f"No image of the class {classes[int(counts.argmin())]!r} is in {split} of all "
            "settings. Obfuscate what is missing."
        )
    return ImageList(tuple(names), labels, tuple(classes))


def _digest(files: Mapping[str, int], left_out: set[str]) -> str:
    return files_digest((name, size) for name, size in files.items() if name not in left_out)
