# SPDX-License-Identifier: Apache-2.0
"""WordNet's own files of nouns, in the format of its manual page ``wndb(5WN)``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from veilset.errors import DatasetError

_ABOVE = ("@", "@i")
"""The pointers "is a kind of" and "is an instance of"."""

Words = dict[str, tuple[str, ...]]


def read_wordnet_nouns(folder: Path) -> tuple[Words, Words, Words]:
    """Read ``data.noun`` and, if it is there, ``index.noun``.

    The identifier of a synset is that of ImageNet: ``n`` and its offset, 8 digits. ImageNet
    speaks of WordNet 3.0; in other versions the offsets differ.

    Args:
        folder: Where the files lie, the folder ``dict`` of a WordNet distribution.

    Returns:
        The words of each synset, the synsets right above each, and the synsets of each
        word by falling frequency.

    Raises:
        DatasetError: If a line is malformed; the message names it.
    """
    words: Words = {}
    parents: Words = {}
    path = folder / "data.noun"
    for number, line in _lines(path):
        try:
            synset, names, above = _parse_synset(line)
        except (ValueError, IndexError) as error:
            raise DatasetError(
                f"{path}, line {number}: {line[:40]!r} is no synset in the format of WordNet 3."
            ) from error
        words[synset] = names
        if above:
            parents[synset] = above
    for synset, above in parents.items():
        for parent in above:
            if parent not in words:
                raise DatasetError(
                    f"{path}: {synset} points to {parent}, which is not in the file. "
                    "It is cut off: restore it."
                )
    return words, parents, _read_senses(folder / "index.noun")


def _parse_synset(line: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Read ``offset file type n_words (word id)... n_pointers (symbol offset pos ends)...``."""
    parts = line.partition("|")[0].split()
    if len(parts[0]) != 8 or not parts[0].isdigit() or parts[2] != "n":
        raise ValueError(line)
    # The number of words is hexadecimal, that of pointers is decimal.
    n_words = int(parts[3], 16)
    after = 4 + 2 * n_words
    n_pointers = int(parts[after])
    pointers = parts[after + 1 : after + 1 + 4 * n_pointers]
    if n_words < 1 or len(pointers) != 4 * n_pointers:
        raise ValueError(line)
    names = tuple(word.replace("_", " ") for word in parts[4:after:2])
    above = [
        f"n{pointers[i + 1]}"
        for i in range(0, len(pointers), 4)
        if pointers[i] in _ABOVE and pointers[i + 2] == "n"
    ]
    return f"n{parts[0]}", names, tuple(dict.fromkeys(above))


def _read_senses(path: Path) -> Words:
    """Read ``lemma pos n_synsets n_symbols symbol... n_senses n_tagged offset...``."""
    senses: Words = {}
    if not path.is_file():
        return senses
    for number, line in _lines(path):
        parts = line.split()
        try:
            n_synsets, n_symbols = int(parts[2]), int(parts[3])
            offsets = parts[6 + n_symbols :]
            if parts[1] != "n" or len(offsets) != n_synsets:
                raise ValueError(line)
        except (ValueError, IndexError) as error:
            raise DatasetError(
                f"{path}, line {number}: {line[:40]!r} is no entry in the format of WordNet 3."
            ) from error
        senses[parts[0].replace("_", " ").casefold()] = tuple(f"n{each}" for each in offsets)
    return senses


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        with path.open(encoding="utf-8") as stream:
            for number, line in enumerate(stream, 1):
                # The licence stands above the data, in lines that begin with two spaces.
                if line.strip() and not line.startswith("  "):
                    yield number, line
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} is missing or not readable as UTF-8. Restore it.") from error
