# SPDX-License-Identifier: Apache-2.0
"""The attacks that train networks. Only this module and those below it import PyTorch."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from veilset.attack.classifier import EPOCHS, Classifier, Training, train_classifier
from veilset.attack.config import (
    ASSESSOR,
    CLEAR,
    PARROT_NETWORK,
    PARROT_STUDENT,
    RESTORE_LEARNED,
    AttackConfig,
    Setting,
)
from veilset.attack.identification import measure_identification
from veilset.attack.lessons import Lessons, lessons_of
from veilset.attack.measuring import (
    CLEAR_TO_RESTORED,
    TRAINED_ON_OBFUSCATED,
    Evidence,
    compare_faces,
    name_people,
)
from veilset.attack.outcomes import Outcome, Pen, Row, with_facts
from veilset.attack.resampling import draw_people
from veilset.attack.restorer import RestorerConfig, train_restorer
from veilset.attack.similarity import psnr
from veilset.attack.student import EPOCHS as STUDENT_EPOCHS
from veilset.attack.student import train_student
from veilset.intervals import Z_95
from veilset.learning.devices import arithmetic, describe, find_devices
from veilset.seeds import derive
from veilset.types import Direction, Image, Measurement

N_ASSESSED = 20
"""People whom the machine assessor knows, as in the report it is taken from."""

RESTORER_EPOCHS = 30

Chips = NDArray[np.uint8]


@contextmanager
def _training(
    config: AttackConfig, attack: str, setting: str, network: str, epochs: int = EPOCHS
) -> Iterator[Training]:
    """Give how a network of an attack is trained, and compute so while the block runs."""
    device = find_devices(config.device)[0]
    seed = derive(config.seed, attack, setting)
    training = Training(network, seed, config.epochs or epochs, device)
    with arithmetic(training, device, config.threads):
        yield training


def parrot_network(evidence: Evidence, setting: Setting) -> Outcome:
    """Train a network on obfuscated faces of the gallery, and let it name the probes."""
    chips, held = evidence.view(setting.name).chips, evidence.is_gallery
    began = time.monotonic()
    with _training(evidence.config, PARROT_NETWORK, setting.name, "residual") as training:
        network = train_classifier(
            chips[held], evidence.gallery_codes, len(evidence.people), training
        )
        scores = network.scores(chips[~held])
    pen = Pen(setting.name, PARROT_NETWORK, TRAINED_ON_OBFUSCATED)
    return with_facts(name_people(evidence, pen, scores), _facts(training, began))


def parrot_student(evidence: Evidence, setting: Setting) -> Outcome:
    """Train a student on obfuscated faces, and compare what it sees on probes with the gallery.

    Faces of strangers are learned from too, if there are any; some faces are held out, for a row
    that says how near its guesses come to what the recogniser sees in clear.
    """
    lessons, held = lessons_of(evidence, setting.name), evidence.is_gallery
    began = time.monotonic()
    config = evidence.config
    with _training(config, PARROT_STUDENT, setting.name, "residual", STUDENT_EPOCHS) as training:
        aside = lessons.held_out(derive(training.seed, "held out"))
        student = train_student(
            lessons.shown[~aside], lessons.embeddings[~aside], evidence.recogniser.metric, training
        )
        guesses = student.guess(evidence.view(setting.name).chips[~held])
        tried = student.guess(lessons.shown[aside])
    known = student.seen(evidence.view(CLEAR).embeddings[held])
    pen = Pen(setting.name, PARROT_STUDENT, TRAINED_ON_OBFUSCATED)
    # What the recogniser takes for one person is a distance of its own, not of directions.
    outcome = compare_faces(evidence, pen, 1 - guesses.astype(np.float64) @ known.T, threshold=None)
    cosines = (tried * student.seen(lessons.embeddings[aside])).sum(axis=1)
    row = _mean(pen, "cosine to clear, held-out faces", cosines, note="of no probe")
    facts = _facts(training, began) | {"network": "student"} | _counts(lessons, aside)
    return with_facts(outcome, facts, [row])


def _counts(lessons: Lessons, aside: NDArray[np.bool_]) -> dict[str, int]:
    n_gallery = int((~aside[: lessons.n_gallery]).sum())
    n_trained = int((~aside).sum())
    return {
        "n_trained": n_trained, "n_strangers": n_trained - n_gallery, "n_held_out": int(aside.sum())
    }  # fmt: skip


def _facts(training: Training, began: float) -> dict[str, object]:
    return {
        "network": training.network,
        "epochs": training.epochs,
        "device": describe(training.device),
        "seconds": round(time.monotonic() - began, 1),
    }


def restore_learned(evidence: Evidence, setting: Setting) -> Outcome:
    """Train a restorer on pairs of the gallery, restore the probes, and recognise them.

    Pairs of strangers are learned from too, if there are any.

    The recogniser gets the restored faces at its own size; PSNR is that of the faces.
    """
    config, held = evidence.config, evidence.is_gallery
    clear, shown = evidence.view(CLEAR), evidence.view(setting.name)
    lessons = lessons_of(evidence, setting.name)
    began = time.monotonic()
    with _training(config, RESTORE_LEARNED, setting.name, "residual") as training:
        wanted = RestorerConfig(
            epochs=config.epochs or RESTORER_EPOCHS, seed=training.seed, min_pairs=2
        )
        restorer = train_restorer(lessons.shown, lessons.clear, wanted, device=training.device)
        restored = restorer.restore(shown.chips[~held])
    embeddings = evidence.recogniser.embed([_enlarged(evidence, chip) for chip in restored])
    pen = Pen(setting.name, RESTORE_LEARNED, CLEAR_TO_RESTORED)
    distances = evidence.distances(embeddings, clear.embeddings[held])
    outcome = compare_faces(evidence, pen, distances, threshold=evidence.recogniser.threshold)
    likeness = tuple(
        _mean_psnr(pen, name, faces, clear.chips[~held])
        for name, faces in (
            ("PSNR of obfuscated faces", shown.chips[~held]), ("PSNR of restored faces", restored),
        )
    )  # fmt: skip
    facts = _facts(training, began) | {"network": "U-Net", "epochs": wanted.epochs}
    if lessons.n_strangers:
        facts |= {"n_trained": len(lessons.shown), "n_strangers": lessons.n_strangers}
    return with_facts(outcome, facts, likeness)


def _enlarged(evidence: Evidence, chip: Image) -> Image:
    import cv2

    side = evidence.recogniser.side_px
    made: Image = cv2.resize(chip, (side, side), interpolation=cv2.INTER_CUBIC)
    return made


def _mean_psnr(pen: Pen, name: str, faces: Chips, clear: Chips) -> Row:
    values = np.array([psnr(one, other) for one, other in zip(clear, faces, strict=True)])
    return _mean(pen, name, values[np.isfinite(values)], unit="dB")


def _mean(
    pen: Pen, name: str, values: NDArray[np.floating], *, unit: str = "", note: str = ""
) -> Row:
    """Give the row of a mean with its interval; without a value where there are too few."""
    if len(values) < 2:
        too_few = f"{len(values)} faces: too few for a mean with an interval"
        return Row(
            pen.setting, pen.attack, pen.protocol, name, None, None, None, len(values), None,
            note=too_few,
        )  # fmt: skip
    mean = float(values.mean())
    half = Z_95 * float(values.std(ddof=1)) / np.sqrt(len(values))
    found = Measurement(
        name, mean, mean - half, mean + half, len(values), unit=unit, direction=Direction.LOWER
    )
    return pen.row(found, note=note)


def assess(evidence: Evidence, setting: Setting) -> Outcome:
    """Let a network that knows clear faces of 20 people name those on the probes.

    The people with most photographs are taken; of several with as many, the first by name.
    """
    known = _assessed(evidence)
    place = {int(code): at for at, code in enumerate(known)}
    chosen = np.isin(evidence.codes, known) & ~evidence.is_gallery
    codes = np.array([place[int(code)] for code in evidence.codes[chosen]])
    if ASSESSOR not in evidence.kept:
        evidence.kept[ASSESSOR] = _train_assessor(evidence)
    classifier, facts = evidence.kept[ASSESSOR]
    with _training(evidence.config, ASSESSOR, CLEAR, "alexnet"):
        scores = classifier.scores(evidence.view(setting.name).chips[chosen])
    config = evidence.config
    draws = draw_people(len(known), seed=derive(config.seed, "assessed"), n_draws=config.n_draws)
    named = measure_identification(-scores, codes, np.arange(len(known)), draws, ranks=(1, 5))
    pen = Pen(setting.name, ASSESSOR, f"{len(known)} people, trained on clear")
    return Outcome(setting.name, ASSESSOR, tuple(pen.identification(named)), {}, facts)


def _assessed(evidence: Evidence) -> NDArray[np.int64]:
    counts = np.bincount(evidence.codes, minlength=len(evidence.people))
    return np.sort(np.argsort(-counts, kind="stable")[:N_ASSESSED])


def _train_assessor(evidence: Evidence) -> tuple[Classifier, dict[str, object]]:
    """Train the assessor on clear faces of the gallery."""
    known = _assessed(evidence)
    chosen = np.isin(evidence.codes, known) & evidence.is_gallery
    codes = np.searchsorted(known, evidence.codes[chosen])
    began = time.monotonic()
    with _training(evidence.config, ASSESSOR, CLEAR, "alexnet") as training:
        classifier = train_classifier(
            evidence.view(CLEAR).chips[chosen], codes, len(known), training
        )
    return classifier, _facts(training, began) | {"n_trained": int(chosen.sum())}
