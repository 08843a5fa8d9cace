# SPDX-License-Identifier: Apache-2.0
"""The feed and kept pixels: neither ever changes what comes, and nothing private is left."""

from __future__ import annotations

import os
import pickle
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.study.drawn_pictures import draw, draw_photos, list_of, make_study, tiny
from veilset.errors import DatasetError, RunError
from veilset.study.batches import Batch, EvalBatches, TrainBatches
from veilset.study.config import StudyConfig
from veilset.study.feed import feed
from veilset.study.kept import KeptFolder, KeptPictures, fits
from veilset.study.pictures import FolderPictures, open_source

KEYS = [(epoch, b) for epoch in range(2) for b in range(3)]
LIMIT = 10_000_000


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> StudyConfig:
    return make_study(tmp_path_factory.mktemp("feed"))


def contents(items: Iterator[Batch]) -> list[tuple[bytes, list[int], list[int]]]:
    return [
        (batch.pixels.numpy().tobytes(), batch.labels.tolist(), batch.positions.tolist())
        for batch in items
    ]


@dataclass(frozen=True)
class Numbers:
    """Fails at one key, ends its process at another."""

    def __getitem__(self, key: int) -> int:
        if key == 2:
            raise DatasetError("original/x.png is refused (truncated): cut.")
        if key == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        if key == 7:
            raise ZeroDivisionError("not foreseen")
        return 10 * key


def test_workers_give_the_same_bytes_in_the_same_order(study: StudyConfig) -> None:
    batches = TrainBatches(open_source(study, "layered"), list_of(study), tiny(), seed=1)
    alone = contents(feed(batches, KEYS))
    assert contents(feed(batches, KEYS, workers=2)) == alone
    assert len({each[0] for each in alone}) == 6
    assert alone == [next(iter(contents(iter([batches[key]])))) for key in KEYS]


def test_errors_come_at_their_place_with_their_own_text() -> None:
    for workers in (0, 1):
        items = feed(Numbers(), [0, 1, 2, 3], workers=workers)
        assert [next(items), next(items)] == [0, 10]
        with pytest.raises(DatasetError) as caught:
            next(items)
        assert str(caught.value) == "original/x.png is refused (truncated): cut."


def test_what_was_not_foreseen_stays_as_it_is() -> None:
    with pytest.raises(ZeroDivisionError):
        list(feed(Numbers(), [7]))


def test_a_worker_that_was_killed_is_an_error() -> None:
    with pytest.raises(RunError, match=r"was ended from outside .*fewer workers"):
        list(feed(Numbers(), [0, 5, 1], workers=1))


@pytest.mark.parametrize("setting", ["original", "layered"])
def test_kept_pixels_change_nothing(study: StudyConfig, setting: str, tmp_path: Path) -> None:
    images, source = list_of(study), open_source(study, setting)
    with KeptFolder(tmp_path / ".kept", LIMIT) as folder:
        kept = folder.keep(source, images.image_ids)
        assert isinstance(kept, KeptPictures)
        again = pickle.loads(pickle.dumps(kept))
        for image_id in images.image_ids:
            picture = source.read(image_id)
            assert kept.read(image_id).tobytes() == picture.tobytes()
            assert np.array_equal(again.pixels(image_id), np.asarray(picture))
        for decode in ("exact", "reduced"):
            plain, fast = (
                TrainBatches(each, images, tiny(decode=decode), seed=1) for each in (source, kept)
            )
            assert contents(feed(plain, KEYS)) == contents(feed(fast, KEYS)), decode
        plain_eval, fast_eval = (EvalBatches(each, images, tiny()) for each in (source, again))
        assert contents(feed(plain_eval, range(3))) == contents(feed(fast_eval, range(3)))
        with pytest.raises(DatasetError, match="does not hold"):
            kept.pixels("none")


def test_kept_pixels_are_private_shared_and_removed(study: StudyConfig, tmp_path: Path) -> None:
    images, source = list_of(study), open_source(study, "original")
    place = tmp_path / ".kept"
    with KeptFolder(place, LIMIT) as first:
        assert stat.S_IMODE(place.stat().st_mode) == 0o700
        kept = first.keep(source, images.image_ids)
        assert isinstance(kept, KeptPictures)
        assert stat.S_IMODE(kept.path.stat().st_mode) == 0o600
        written = kept.path.stat().st_mtime_ns
        with KeptFolder(place, LIMIT) as second:
            other = second.keep(source, images.image_ids)
            assert isinstance(other, KeptPictures)
            assert (other.path, other.path.stat().st_mtime_ns) == (kept.path, written)
        assert kept.path.exists()
    assert not place.exists()
    # What was removed while it was mapped can still be read.
    assert kept.pixels(images.image_ids[0]).any()


def test_what_was_left_by_a_killed_process_is_removed(tmp_path: Path) -> None:
    place = tmp_path / ".kept"
    code = (
        "import sys, time; from pathlib import Path; from veilset.study.kept import KeptFolder\n"
        "with KeptFolder(Path(sys.argv[1]), 1): print('in', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, place], stdout=subprocess.PIPE)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        with KeptFolder(place, LIMIT):
            pass
        assert place.exists(), "another process still uses it"
        process.kill()
    assert place.exists()
    with KeptFolder(place, LIMIT):
        pass
    assert not place.exists()


def test_a_file_that_was_made_again_is_not_taken_for_the_former(tmp_path: Path) -> None:
    path = tmp_path / "x.bmp"
    draw(0).save(path)
    source = FolderPictures(tmp_path, "original")
    with KeptFolder(tmp_path / ".kept", LIMIT) as folder:
        before = folder.keep(source, ["x.bmp"]).read("x.bmp").tobytes()
        n_bytes = path.stat().st_size
        time.sleep(0.01)
        draw(5).save(path)
        assert path.stat().st_size == n_bytes
        assert folder.keep(source, ["x.bmp"]).read("x.bmp").tobytes() != before


def test_more_than_the_limit_is_not_kept(tmp_path: Path) -> None:
    draw_photos(tmp_path, n=2)
    ids = ["train/cat/0.png", "train/cat/1.png"]
    source = FolderPictures(tmp_path, "original")
    n_bytes = 3 * (48 * 40 + 40 * 48)
    assert fits(source, ids, n_bytes)
    assert not fits(source, ids, n_bytes - 1)
    for limit in (0, 1, n_bytes - 1):
        with KeptFolder(tmp_path / ".kept", limit) as folder:
            assert folder.keep(source, ids) is source
    # A source without files of its own is given back as it is.
    with KeptFolder(tmp_path / ".kept", n_bytes) as folder:
        assert isinstance(kept := folder.keep(source, ids), KeptPictures)
        assert folder.keep(kept, ids) is kept


def test_broken_pictures_and_files_are_told(tmp_path: Path) -> None:
    draw_photos(tmp_path, n=1)
    (tmp_path / "train/cat/0.png").write_bytes(b"")
    source = FolderPictures(tmp_path, "original")
    with KeptFolder(tmp_path / ".kept", LIMIT) as folder:
        with pytest.raises(DatasetError, match=r"original/train/cat/0\.png is refused"):
            folder.keep(source, ["train/cat/0.png"])
        with pytest.raises(DatasetError, match=r"original/none\.png cannot be read"):
            folder.keep(source, ["none.png"])
        assert {path.suffix for path in folder.folder.iterdir()} <= {".lock", ""}
    broken = tmp_path / "x.arrow"
    broken.write_bytes(b"ARROW1 and no more")
    with pytest.raises(RunError, match=r"x\.arrow is missing or damaged"):
        KeptPictures(broken)


def test_tensors_of_a_batch_do_not_share_the_order_of_the_epoch(study: StudyConfig) -> None:
    batches = TrainBatches(open_source(study, "original"), list_of(study), tiny(), seed=1)
    positions = batches[0, 0].positions.clone()
    batches[0, 0].positions.zero_()
    assert torch.equal(batches[0, 0].positions, positions)
