# SPDX-License-Identifier: Apache-2.0
"""What every announced classifier has to honour, ours or another package's."""

from __future__ import annotations

import numpy as np
import pytest

from tests.contract.model_checks import (
    check_cards,
    check_depends_on_the_image_alone,
    check_may_be_read_only,
    check_plain,
    look_once,
)
from veilset.errors import ConfigError, MissingExtraError
from veilset.plugins import list_plugins, make_classifier
from veilset.protocols import Classifier, RuntimeSettings
from veilset.types import Image

NAMES = [info.name for info in list_plugins("classifier")]
RUNTIMES = ("openvino", "onnxruntime")


@pytest.fixture(scope="module")
def images() -> list[Image]:
    rng = np.random.default_rng(0)
    drawn = [
        rng.integers(0, 256, (h, w, 3), dtype=np.uint8)
        for h, w in ((1, 1), (1, 90), (90, 1), (64, 64), (70, 50), (400, 300))
    ]
    grey = np.repeat(drawn[-1][..., :1], 3, axis=2)
    return [*drawn, grey, np.zeros((64, 64, 3), np.uint8), np.full((33, 65, 3), 255, np.uint8)]


@pytest.fixture(
    scope="module", params=[(name, runtime) for name in NAMES for runtime in RUNTIMES], ids=str
)
def classifier(request: pytest.FixtureRequest) -> Classifier:
    name, runtime = request.param
    try:
        return make_classifier(name, RuntimeSettings(runtime=runtime, n_threads=2))
    except MissingExtraError as error:
        pytest.skip(str(error))


def test_there_is_one() -> None:
    assert "efficientnet-lite0" in NAMES


def test_cards_say_where_the_weights_come_from(classifier: Classifier) -> None:
    check_cards(classifier.cards)


def test_settings_are_plain_values(classifier: Classifier) -> None:
    assert classifier.settings
    check_plain(classifier.settings)


def test_labels_have_names(classifier: Classifier) -> None:
    assert len(classifier.labels) >= 2
    assert all(label and name for label, name in classifier.labels.items())


def test_five_likeliest_labels_come_first(classifier: Classifier, images: list[Image]) -> None:
    found = classifier.classify(images)
    assert len(found) == len(images)
    for guesses in found:
        labels = [guess.label for guess in guesses]
        assert len(labels) == len(set(labels)) == min(5, len(classifier.labels))
        assert set(labels) <= set(classifier.labels)
        scores = [guess.score for guess in guesses]
        assert scores == sorted(scores, reverse=True)
        assert all(0 <= score <= 1 for score in scores)
        assert sum(scores) <= 1 + 1e-9


def test_images_matter(classifier: Classifier, images: list[Image]) -> None:
    assert len(set(classifier.classify(images))) > len(images) / 2


def test_images_are_left_alone_and_may_be_read_only(
    classifier: Classifier, images: list[Image]
) -> None:
    found = look_once(classifier.classify, images)
    check_may_be_read_only(classifier.classify, images, found)


def test_result_depends_on_the_image_alone(classifier: Classifier, images: list[Image]) -> None:
    found = classifier.classify(images)
    check_depends_on_the_image_alone(classifier.classify, images, found)


def test_nothing_gives_nothing(classifier: Classifier) -> None:
    assert classifier.classify([]) == []


@pytest.mark.parametrize("name", NAMES)
def test_settings_that_cannot_be_honoured_are_refused(name: str) -> None:
    try:
        with pytest.raises(ConfigError, match="device"):
            make_classifier(name, RuntimeSettings(device="tpu"))
    except MissingExtraError as error:
        pytest.skip(str(error))
