# SPDX-License-Identifier: Apache-2.0
"""What a study found, read back from its folder: for the report, which imports no stage."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from veilset.errors import RunError
from veilset.files import sha256_hex

FORMAT = "veilset-study-results/1"
SPLITS = ("train", "val")

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StudyResults:
    """The numbers of a study that a report needs.

    Attributes:
        reference: Setting that drops are measured against.
        roots: Folder of each setting that is one, as the study knew it.
        numbers: All of ``study.json``.
        files_sha256: For each setting and split, ``files_digest`` of its images.
        folder: Where the study lies.
    """

    reference: str
    roots: Mapping[str, Path]
    numbers: Mapping[str, Any]
    files_sha256: Mapping[str, Mapping[str, str]]
    folder: Path

    def setting_of(self, folder: Path) -> str:
        """Name the setting whose images lie in a folder, "" if there is none.

        They are known by the names and sizes of all files that the study used: a release may
        have been moved since, and is another one if its files have changed.

        Raises:
            RunError: If the lists of the study are missing or damaged, or files in the folder
                of a setting are not those that the study used.
        """
        here = {split: _digest_at(folder, self._names(split)) for split in SPLITS}
        same = [name for name in self.roots if dict(self.files_sha256[name]) == here]
        at = [name for name, root in self.roots.items() if root.resolve() == folder.resolve()]
        for name in at:
            if name not in same:
                split = next(each for each in SPLITS if self.files_sha256[name][each] != here[each])
                raise RunError(
                    f"The study {self.folder} was of other files: images of {split} in {folder} "
                    f"are missing, or have another size than when it began. Restore them, or run "
                    f"the study on them as a setting of another name than {name!r}."
                )
        return next(iter([*at, *same]), "")

    def _names(self, split: str) -> list[str]:
        path = self.folder / "lists" / f"{split}.parquet"
        try:
            names: list[str] = pq.read_table(path, columns=["image_id"])["image_id"].to_pylist()
        except (OSError, KeyError, pa.ArrowException) as error:
            raise RunError(
                f"{path} is missing or damaged. 'veilset study plan' writes it again."
            ) from error
        return names

    def table(self, name: str) -> Mapping[str, Any] | None:
        """Give a table by name, None if the study has none of it."""
        found = [each for each in self.numbers["tables"] if each["name"] == name]
        return found[0] if found else None

    def rows(self, name: str, **wanted: str) -> list[Row]:
        """Give the rows of a table that have these values."""
        table = self.table(name)
        return [
            row
            for row in (table["rows"] if table else ())
            if all(row.get(key) == value for key, value in wanted.items())
        ]


def read_results(folder: Path) -> StudyResults:
    """Read the results of an evaluated study.

    Args:
        folder: Its folder.

    Raises:
        RunError: If the folder holds no study, or one that is not evaluated or is damaged.
    """
    started = _read(folder / "started.json", "Give the folder that 'veilset study' wrote.")
    numbers = _read(folder / "study.json", "Run 'veilset study evaluate' first.")
    if numbers.get("format") != FORMAT:
        raise RunError(
            f"{folder / 'study.json'} is of the format {numbers.get('format')!r}, not {FORMAT}. "
            "Evaluate the study again."
        )
    settings = {
        name: setting
        for name, setting in started.get("settings", {}).items()
        if setting["kind"] == "folder"
    }
    roots = {name: Path(setting["root"]) for name, setting in settings.items()}
    files = {name: setting["files_sha256"] for name, setting in settings.items()}
    return StudyResults(numbers["reference"], roots, numbers, files, folder)


def files_digest(files: Iterable[tuple[str, int]]) -> str:
    """Give the SHA-256 over names and sizes of images, in the order of their list.

    Args:
        files: Name from the root of the setting, and size in bytes.
    """
    lines = (f"{name}\t{size}\n" for name, size in files)
    return sha256_hex("".join(lines).encode("utf-8", "surrogateescape"))


def _digest_at(folder: Path, names: Iterable[str]) -> str:
    """Give the digest of these images in a folder, "" if one is not there."""
    try:
        return files_digest((name, (folder / name).stat().st_size) for name in names)
    except OSError:
        return ""


def _read(path: Path, remedy: str) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise RunError(f"{path} is missing or not readable. {remedy}") from error
    except ValueError as error:
        raise RunError(f"{path} is not valid JSON. {remedy}") from error
    if not isinstance(found, dict):
        raise RunError(f"{path} is damaged. {remedy}")
    return found
