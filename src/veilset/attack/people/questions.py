# SPDX-License-Identifier: Apache-2.0
"""What people are asked.

A question is one *probe*, a photograph as a setting left it, and nine clear photographs of
nine people. One of them is the person of the probe on another photograph. All ten are of one
group (the same gender attribute, where it is given), so that hair and gender alone do not
tell who it is. How questions are drawn, so that nothing but the probe tells who it is, says
``drawing``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from veilset.errors import ConfigError
from veilset.seeds import check_seed
from veilset.types import Image

CLEAR = "clear"
"""The setting in which nothing was done. It shows what careful people could do at best."""

MAX_SHOWN = 9
"""Most candidates of a question: each has a key of its own, 1 to 9."""

PictureOf: TypeAlias = Callable[[str, str], Image]
"""Takes a setting and an ``image_id``, gives head and shoulders, ``(H, W, 3)`` uint8 RGB."""

SamePhotograph: TypeAlias = Callable[[str, str], bool]
"""Whether two images, by their ``image_id``, are one photograph."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One photograph that may be shown.

    Attributes:
        image_id: Its name; each only once.
        person: Who it shows.
        half: ``gallery`` photographs are shown clear, ``probe`` photographs obfuscated.
        group: Only photographs of one group meet in a question; "" for all.
    """

    image_id: str
    person: str
    half: Literal["gallery", "probe"]
    group: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked.

    Attributes:
        settings: What was done to the probes; ``clear`` is one of them.
        per_setting: Questions of each setting in each pack.
        n_packs: Different packs, one page each. With as many packs as settings each probe is
            asked about once in every setting, by different people.
        n_shown: Candidates of a question, 2 to 9.
        seed: Decides who is shown together, and on which photographs; from 0 on. Who of them
            is right is decided by the secret of the key.

    Raises:
        ConfigError: If something of this cannot be asked.
    """

    settings: tuple[str, ...]
    per_setting: int = 10
    n_packs: int = 1
    n_shown: int = MAX_SHOWN
    seed: int = 0

    def __post_init__(self) -> None:
        if CLEAR not in self.settings:
            raise ConfigError(
                f"The settings lack '{CLEAR}'. Add it: without clear faces nobody knows "
                "whether assessors looked with care."
            )
        if len(set(self.settings)) < len(self.settings) or not all(self.settings):
            raise ConfigError(
                f"The settings {', '.join(map(repr, self.settings))} have one twice, or one "
                "without a name. Name each once."
            )
        if self.per_setting < 1 or self.n_packs < 1:
            raise ConfigError(
                f"{self.n_packs} packs of {self.per_setting} questions for each setting ask "
                "nothing. Give numbers from 1 on."
            )
        if not 2 <= self.n_shown <= MAX_SHOWN:
            raise ConfigError(
                f"{self.n_shown} candidates cannot be shown. Give 2 to {MAX_SHOWN}: each has a "
                "key of its own."
            )
        check_seed(self.seed)

    @property
    def n_questions(self) -> int:
        """Questions of each pack."""
        return self.per_setting * len(self.settings)


@dataclass(frozen=True, slots=True)
class Question:
    """One probe and the candidates beside it.

    Attributes:
        question_id: A random name, which says nothing.
        setting: What was done to the probe.
        person: Who it is.
        probe: ``image_id`` of the probe.
        shown: ``image_id`` of each candidate, in the order in which they are shown.
        people: Who they are.
        answer: Place of the right one, from 1 on.
    """

    question_id: str
    setting: str
    person: str
    probe: str
    shown: tuple[str, ...]
    people: tuple[str, ...]
    answer: int


def chosen_settings(known: Sequence[str], wanted: Sequence[str]) -> tuple[str, ...]:
    """Give the settings to ask about: all that are known, or ``clear`` and those wanted.

    Raises:
        ConfigError: If one is not known.

    Example:
        >>> chosen_settings(("clear", "blur", "veil"), ["veil"])
        ('clear', 'veil')
    """
    for name in wanted:
        if name not in known:
            raise ConfigError(f"No setting is named '{name}'. Known: {', '.join(known)}.")
    return tuple(name for name in known if not wanted or name in wanted or name == CLEAR)
