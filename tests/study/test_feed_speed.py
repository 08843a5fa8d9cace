# SPDX-License-Identifier: Apache-2.0
"""The study's feed against ImageFolder in a DataLoader, on photographs."""

from __future__ import annotations

import time

import pytest
import torch
from benchmarks.study_feed import compare, list_images, ours, plain, recipe_for

from tests.conftest import real_data_folder
from veilset.study.pictures import FolderPictures

PHOTOS = real_data_folder() / "imagenette224/train"


@pytest.mark.slow
@pytest.mark.real
@pytest.mark.parametrize(("side", "least"), [(224, 1.5), (64, 1.3)])
def test_the_feed_is_faster_than_image_folder(side: int, least: float) -> None:
    """In seconds of the processor, in one process: other tests that run do not count."""
    recipe, images = recipe_for(side), list_images(PHOTOS)
    source = FolderPictures(PHOTOS, "original")
    n_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found = compare(
            {
                "plain": lambda: plain(PHOTOS, recipe, 0),
                "feed": lambda: ours(source, images, recipe, 0, floats=False),
            },
            n_images=320,
            rounds=3,
            clock=time.process_time,
        )
    finally:
        torch.set_num_threads(n_threads)
    assert max(found["feed"]) >= least * max(found["plain"])
