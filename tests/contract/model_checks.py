# SPDX-License-Identifier: Apache-2.0
"""What every model promises, whatever it looks for: cards, settings, a result for each image."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from veilset.errors import LicenceError
from veilset.networks.weights import check_licence
from veilset.types import Image, ModelCard

Look = Callable[[Sequence[Image]], Sequence[Any]]


def check_cards(cards: Iterable[ModelCard]) -> None:
    known = list(cards)
    assert known
    for card in known:
        assert card.name
        assert card.origin
        assert card.licence
        assert len(card.sha256) in (0, 64)
        if card.commercial_ok is not True:
            with pytest.raises(LicenceError):
                check_licence(card, commercial=True)


def check_plain(values: Mapping[str, object]) -> None:
    for name, value in values.items():
        assert isinstance(name, str)
        assert isinstance(value, str | int | float | bool)


def look_once(look: Look, images: Sequence[Image]) -> Sequence[Any]:
    """Give what a model finds; pictures that it could write into must stay as they are."""
    copies = [image.copy() for image in images]
    found = look(images)
    for copy, image in zip(copies, images, strict=True):
        np.testing.assert_array_equal(copy, image)
    return found


def check_may_be_read_only(look: Look, images: Sequence[Image], found: Sequence[Any]) -> None:
    copies = [image.copy() for image in images]
    for copy in copies:
        copy.setflags(write=False)
    assert look(copies) == found


def check_depends_on_the_image_alone(
    look: Look, images: Sequence[Image], found: Sequence[Any]
) -> None:
    assert found == [look([image])[0] for image in images]
    assert found == look(images[::-1])[::-1]
    with ThreadPoolExecutor(2) as pool:
        for again in pool.map(lambda _: look(images), range(2)):
            assert again == found
