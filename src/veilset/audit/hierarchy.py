# SPDX-License-Identifier: Apache-2.0
"""The hierarchy of categories: what is a kind of what, after WordNet's nouns."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import cached_property
from pathlib import Path

from veilset.audit.wordnet import read_wordnet_nouns
from veilset.errors import ConfigError, DatasetError

_SENSE = re.compile(r"(.+)\.n\.(\d+)")


@dataclass(frozen=True)
class Hierarchy:
    """Synsets, their words, and the synsets right above each. A synset may have several above.

    Attributes:
        words: Words of each synset; the first is its name.
        parents: Synsets right above; none for a root.
        senses: For each word, lower case, its synsets with the most frequent first; empty
            where the source does not tell.

    Raises:
        DatasetError: If a synset is above itself.
    """

    words: Mapping[str, tuple[str, ...]]
    parents: Mapping[str, tuple[str, ...]]
    senses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        cycle = _find_cycle(self.parents)
        if cycle:
            shown = " is a kind of ".join(f"{each} ({self.name(each)})" for each in cycle)
            raise DatasetError(
                f"The hierarchy goes round in a circle: {shown}. Remove one of these lines."
            )

    def __contains__(self, synset: object) -> bool:
        return synset in self.words

    def name(self, synset: str) -> str:
        """Give the name of a synset for people; an unknown one is its own name."""
        return self.words.get(synset, (synset,))[0]

    def and_above(self, synset: str) -> frozenset[str]:
        """Give a synset and everything above it."""
        found = {synset}
        waiting = [synset]
        while waiting:
            for parent in self.parents.get(waiting.pop(), ()):
                if parent not in found:
                    found.add(parent)
                    waiting.append(parent)
        return frozenset(found)

    @cached_property
    def _by_word(self) -> Mapping[str, tuple[str, ...]]:
        found: defaultdict[str, list[str]] = defaultdict(list)
        for synset, words in self.words.items():
            for word in dict.fromkeys(_plain(word) for word in words):
                found[word].append(synset)
        return {word: tuple(sorted(synsets)) for word, synsets in found.items()}

    def find(self, text: str, used: Iterable[str]) -> str:
        """Find the synset that somebody means.

        Args:
            text: An identifier (``n03051540``), a word of a synset (``clothing``), or a
                sense of WordNet (``bird.n.01``).
            used: Synsets that hold a category: a word with several meanings stands for the
                one among these, if there is just one.

        Raises:
            ConfigError: If there is none, or several; the message names what it could be.
        """
        if text in self.words:
            return text
        sense = _SENSE.fullmatch(text)
        if sense and self.senses:
            synsets = self.senses.get(_plain(sense[1]), ())
            place = int(sense[2])
            if 1 <= place <= len(synsets):
                return synsets[place - 1]
            raise ConfigError(
                f"{text!r} is no sense of WordNet: {sense[1]!r} has {len(synsets)} as a noun."
            )
        found = self._by_word.get(_plain(text), ())
        holding = set(used)
        if not found:
            raise ConfigError(f"No synset is called {text!r}.{self._suggest(text, holding)}")
        fitting = [synset for synset in found if synset in holding] or list(found)
        if len(fitting) > 1:
            shown = "; ".join(f"{each} ({', '.join(self.words[each])})" for each in fitting)
            raise ConfigError(f"{text!r} may mean several synsets: {shown}. Give the identifier.")
        return fitting[0]

    def _suggest(self, text: str, holding: set[str]) -> str:
        """Name what is spelled alike, what holds a category first."""
        words = [_plain(word) for synset in holding for word in self.words[synset]]
        near = get_close_matches(_plain(text), sorted(set(words)), n=2, cutoff=0.7)
        near = near or get_close_matches(_plain(text), self._by_word, n=3, cutoff=0.7)
        near = near or get_close_matches(text, self.words, n=1, cutoff=0.85)
        if not near:
            return " Give the identifier of a synset, or one of its words."
        return f" Did you mean {' or '.join(repr(each) for each in near)}?"


def read_hierarchy(folder: Path) -> Hierarchy:
    """Read a hierarchy from the files of BREEDS or of WordNet, whichever the folder holds.

    BREEDS: ``class_hierarchy.txt`` (a line "parent child" for each link), ``node_names.txt``
    ("synset TAB word, word") and, if present, ``dataset_class_info.json``. WordNet 3.0:
    ``data.noun``, and ``index.noun`` for the order of senses.

    Args:
        folder: Where the files lie.

    Raises:
        DatasetError: If it holds neither, or a file is malformed; the message names the line.
    """
    if (folder / "class_hierarchy.txt").is_file():
        return _read_breeds(folder)
    if (folder / "data.noun").is_file():
        words, parents, senses = read_wordnet_nouns(folder)
        return Hierarchy(words, parents, senses)
    if not folder.is_dir():
        raise DatasetError(f"There is no folder {folder} with a hierarchy. Check the path.")
    inside = [
        path.parent
        for name in ("class_hierarchy.txt", "data.noun")
        for path in sorted(folder.glob(f"*/{name}"))
    ]
    hint = f" Did you mean {' or '.join(str(each) for each in inside)}?" if inside else ""
    raise DatasetError(
        f"{folder} holds no hierarchy: neither class_hierarchy.txt (BREEDS) nor data.noun "
        f"(WordNet).{hint}"
    )


def _read_breeds(folder: Path) -> Hierarchy:
    parents: defaultdict[str, list[str]] = defaultdict(list)
    words: dict[str, tuple[str, ...]] = {}
    path = folder / "class_hierarchy.txt"
    for number, line in _lines(path):
        ends = line.split()
        if len(ends) != 2:
            raise DatasetError(f"{path}, line {number}: {line[:60]!r} is not 'parent child'.")
        parent, child = ends
        if parent not in parents[child]:
            parents[child].append(parent)
        words.setdefault(parent, (parent,))
        words.setdefault(child, (child,))
    path = folder / "node_names.txt"
    for number, line in _lines(path):
        synset, tab, names = line.partition("\t")
        if not tab or not names.strip():
            raise DatasetError(f"{path}, line {number}: {line[:60]!r} is not 'synset TAB words'.")
        words[synset.strip()] = _split_words(names)
    words |= _class_names(folder / "dataset_class_info.json", words)
    return Hierarchy(words, {child: tuple(above) for child, above in parents.items()})


def _class_names(path: Path, known: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """Give the names of classes that the list of synsets does not name."""
    if not path.is_file():
        return {}
    try:
        classes = json.loads(path.read_text(encoding="utf-8-sig"))
        named = {str(synset): _split_words(str(names)) for _, synset, names in classes}
    except (ValueError, TypeError) as error:
        raise DatasetError(
            f"{path} is not a list of [number, synset, words]. Restore it, or remove it."
        ) from error
    return {
        synset: names
        for synset, names in named.items()
        if known.get(synset, (synset,)) == (synset,)
    }


def _lines(path: Path) -> Iterable[tuple[int, str]]:
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path} is missing or not readable as UTF-8. Restore it.") from error
    return ((i, line) for i, line in enumerate(text.splitlines(), 1) if line.strip())


def _split_words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())


def _plain(word: str) -> str:
    """Give a word in the form in which words are compared."""
    return " ".join(word.replace("_", " ").casefold().split())


def _find_cycle(parents: Mapping[str, tuple[str, ...]]) -> list[str]:
    """Give synsets that are above each other in a circle, the first again at the end."""
    done: set[str] = set()
    for start in parents:
        path: dict[str, None] = {}
        stack = [(start, iter(parents.get(start, ())))] if start not in done else []
        path[start] = None
        while stack:
            synset, above = stack[-1]
            parent = next(above, None)
            if parent is None:
                stack.pop()
                path.pop(synset)
                done.add(synset)
            elif parent in path:
                ring = list(path)
                return [*ring[ring.index(parent) :], parent]
            elif parent not in done:
                path[parent] = None
                stack.append((parent, iter(parents.get(parent, ()))))
    return []
