# SPDX-License-Identifier: Apache-2.0
"""Files of answers that assessors hand over: from browsers, so nothing in them is trusted."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from veilset.attack.people.key import Key
from veilset.attack.people.questions import Question
from veilset.errors import ConfigError

ANSWERS_FORMAT = "veilset people answers 1"

CANNOT_TELL = "cannot tell"
"""The choice of somebody who names nobody."""

_MAX_BYTES = 4 * 1024 * 1024
_ASSESSOR = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What one assessor said to one question.

    Attributes:
        assessor: Random number of the assessor.
        question: What was asked.
        choice: Place of the candidate that was picked, from 1 on; None for "cannot tell".
        seconds: How long the question was in sight.
    """

    assessor: str
    question: Question
    choice: int | None
    seconds: float

    @property
    def is_right(self) -> bool:
        """Whether the right one was picked; "cannot tell" is a miss."""
        return self.choice == self.question.answer


def read_answers(paths: Sequence[Path], key: Key) -> tuple[Answer, ...]:
    """Read the files of any number of assessors.

    Args:
        paths: The files, at least one.
        key: Of the pages they were given.

    Returns:
        In the order of the files. A file need not answer every question: people may stop.

    Raises:
        ConfigError: If a file is damaged, belongs to other questions or is there twice, or
            an answer is none that the page offers.
    """
    if not paths:
        raise ConfigError("There are no answers to count. Give the files of the assessors.")
    answers: list[Answer] = []
    seen: dict[tuple[str, str], Path] = {}
    for path in paths:
        pack, assessor, found = _read(path, key)
        if (pack, assessor) in seen:
            raise ConfigError(
                f"{seen[pack, assessor]} and {path} are by the same assessor on the same "
                "questions. Give one of them, the one that was saved last."
            )
        seen[pack, assessor] = path
        answers += found
    return tuple(answers)


def _read(path: Path, key: Key) -> tuple[str, str, list[Answer]]:
    found = _object(path)
    if found.get("format") != ANSWERS_FORMAT:
        raise ConfigError(
            f"{path} is no file of answers, or one of another version of Veilset. Give the "
            "file that the page saved."
        )
    pack, assessor, given = found.get("pack"), found.get("assessor"), found.get("answers")
    if not isinstance(assessor, str) or not _ASSESSOR.fullmatch(assessor):
        raise _damaged(path, "the number of the assessor is missing")
    if not isinstance(pack, str) or not isinstance(given, list):
        raise _damaged(path, "the answers are missing")
    if pack not in key.packs:
        raise ConfigError(
            f"{path} answers other questions than this key has. Give the key that was written "
            "together with the assessor's page."
        )
    questions = {each.question_id: each for each in key.packs[pack]}
    answers: list[Answer] = []
    for each in given:
        answer = _answer(each, assessor, questions, path)
        # Asked once, answered once: what is answered is taken out.
        del questions[answer.question.question_id]
        answers.append(answer)
    return pack, assessor, answers


def _object(path: Path) -> Mapping[str, Any]:
    try:
        with path.open("rb") as stream:
            data = stream.read(_MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read ({error.strerror or error}). Give the file that the page saved."
        ) from error
    if len(data) > _MAX_BYTES:
        raise _damaged(path, "it is far larger than any file of answers")
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "it is not JSON") from error
    if not isinstance(found, dict):
        raise _damaged(path, "it is not a JSON object")
    return found


def _damaged(path: Path, why: str) -> ConfigError:
    return ConfigError(f"{path} is damaged: {why}. Ask the assessor to save the answers again.")


def _answer(given: object, assessor: str, questions: Mapping[str, Question], path: Path) -> Answer:
    if not isinstance(given, dict):
        raise _damaged(path, "an answer is not a JSON object")
    name, choice, seconds = (given.get(each) for each in ("question", "choice", "seconds"))
    question = questions.get(name) if isinstance(name, str) else None
    if question is None:
        raise _damaged(path, f"question {name!r:.40} is answered twice, or was not asked")
    # True is 1 to Python.
    is_place = type(choice) is int and 1 <= choice <= len(question.shown)
    if not is_place and choice != CANNOT_TELL:
        raise _damaged(
            path,
            f"question {name} has the choice {choice!r:.40}, which is neither 1 to "
            f"{len(question.shown)} nor {CANNOT_TELL!r}",
        )
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not _is_time(seconds):
        raise _damaged(path, f"question {name} took {seconds!r:.40} seconds")
    return Answer(assessor, question, choice if is_place else None, float(seconds))


def _is_time(seconds: float) -> bool:
    # NaN is not within any bounds, and a whole number may be too large for a float.
    return 0 <= seconds < 1e9
