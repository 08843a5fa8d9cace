# SPDX-License-Identifier: Apache-2.0
"""Attacks on photographs: a recogniser that works, at chance where nothing is left of the face.

20 people with 4 photographs each of Labeled Faces in the Wild, looked at once for all tests.
"""

from __future__ import annotations

import shutil
from itertools import islice
from pathlib import Path

import pytest

from veilset.annotations.store import AnnotationSet
from veilset.attack.config import (
    CLEAR,
    FILLED,
    RECOGNISE,
    RESTORE_KNOWN,
    AttackConfig,
    method_setting,
)
from veilset.attack.faces import choose_photographs
from veilset.attack.looking import look_at_faces
from veilset.attack.measuring import (
    CLEAR_TO_CLEAR,
    CLEAR_TO_OBFUSCATED,
    CLEAR_TO_RESTORED,
    Evidence,
    measure,
)
from veilset.attack.outcomes import Row
from veilset.attack.stage import gather_evidence
from veilset.dataset.places import open_reader
from veilset.detect.stage import DetectConfig, detect_dataset
from veilset.errors import MissingExtraError
from veilset.plugins import make_recogniser
from veilset.protocols import EngineSettings, RecogniserSettings

# The first test waits for the look: a minute of computing, more beside other work.
pytestmark = [pytest.mark.real, pytest.mark.slow, pytest.mark.timeout(1200)]

N_PEOPLE, N_EACH = 20, 4
CONFIG = AttackConfig(
    settings=tuple(map(method_setting, ("blackout", "veil", "swirl"))),
    attacks=(RECOGNISE, RESTORE_KNOWN),
    shard_size=20,
)


@pytest.fixture(scope="module")
def evidence(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Evidence:
    try:
        make_recogniser("dlib", RecogniserSettings())
    except MissingExtraError as error:
        pytest.skip(str(error))
    folder = tmp_path_factory.mktemp("attack")
    people = sorted((real_data / "lfw" / "images").iterdir())
    enough = (each for each in people if len(list(each.iterdir())) >= N_EACH)
    for person in islice(enough, N_PEOPLE):
        (folder / "photos" / person.name).mkdir(parents=True)
        for photo in sorted(person.iterdir())[:N_EACH]:
            shutil.copy(photo, folder / "photos" / person.name)
    detect_dataset(folder / "photos", folder / "annotations", DetectConfig(effort="fast"))
    known = AnnotationSet(folder / "annotations")
    chosen = choose_photographs(known, CONFIG)
    look = folder / "look"
    # dlib keeps the interpreter's lock, so threads would wait for each other.
    engine = EngineSettings(n_processes=2)
    photos = open_reader(folder / "photos")
    look_at_faces(photos, known, chosen, look, CONFIG, workers=2, engine=engine)
    return gather_evidence(look, CONFIG)


def row_of(evidence: Evidence, setting: str, attack: str, protocol: str, measure_name: str) -> Row:
    (shown,) = (each for each in evidence.config.shown if each.name == setting)
    outcome = measure(evidence, shown, attack)
    assert outcome is not None
    (row,) = (
        each for each in outcome.rows if (each.protocol, each.measure) == (protocol, measure_name)
    )
    return row


def rank_1(evidence: Evidence, setting: str) -> Row:
    protocol = CLEAR_TO_CLEAR if setting == CLEAR else CLEAR_TO_OBFUSCATED
    return row_of(evidence, setting, RECOGNISE, protocol, "rank-1")


def test_everybody_takes_part(evidence: Evidence) -> None:
    assert len(evidence.people) == N_PEOPLE
    assert len(evidence.image_ids) >= 0.95 * N_PEOPLE * N_EACH


def test_clear_faces_are_told_apart_at_the_threshold_of_the_recogniser(evidence: Evidence) -> None:
    row = row_of(evidence, CLEAR, RECOGNISE, CLEAR_TO_CLEAR, "balanced accuracy")
    assert row.value is not None
    assert row.value >= 0.97
    named = rank_1(evidence, CLEAR)
    assert named.value is not None
    assert named.value >= 0.95


@pytest.mark.parametrize("setting", [FILLED, "blackout"])
def test_of_faces_that_are_painted_over_nobody_is_named(evidence: Evidence, setting: str) -> None:
    row = rank_1(evidence, setting)
    assert row.chance == pytest.approx(1 / N_PEOPLE)
    assert row.is_at_chance


def test_a_veil_hides_most(evidence: Evidence) -> None:
    veiled, clear = rank_1(evidence, "veil"), rank_1(evidence, CLEAR)
    assert veiled.high is not None
    assert clear.low is not None
    assert veiled.high < clear.low - 0.3


def test_a_swirl_hides_nothing_from_who_knows_it(evidence: Evidence) -> None:
    restored = row_of(evidence, "swirl", RESTORE_KNOWN, CLEAR_TO_RESTORED, "rank-1")
    clear, swirled = rank_1(evidence, CLEAR), rank_1(evidence, "swirl")
    assert restored.value is not None
    assert clear.value is not None
    assert swirled.value is not None
    assert restored.value >= clear.value - 0.05
    assert restored.value > swirled.value
