# SPDX-License-Identifier: Apache-2.0
"""Ten million entries without pixels: what the frame around the work costs, and what it holds.

    python benchmarks/scale.py FOLDER [--entries 1000000 3000000 10000000] [--json FILE]

The stages are the real ones, through ``Run``, ledger, shards, tables, join, manifest, audit. What
touches pixels is replaced: an image is 32 bytes, "decoded" to one colour; a detector finds in a
colour what it always finds there (17 % of the images have faces, 2.3 each, as in the face study of
ImageNet); the output is hard links to empty files, 1,000 to a folder. Every session is a process
of its own, of which the system tells processor time and greatest resident size. Each stage is
killed (SIGKILL) at half, run again to the end, and once more when nothing is left to do. ``check``
compares the output with the release manifest, ``remove`` withdraws one image.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from math import log
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

import numpy as np

import veilset
from veilset import DetectConfig, ObfuscateConfig, RemoveConfig, VerifyConfig
from veilset.dataset.folder import FolderReader, FolderWriter
from veilset.engine.drive import Progress
from veilset.protocols import Shard
from veilset.records.outcomes import Outcome
from veilset.records.verdicts import ImageVerdict, Verdict
from veilset.types import ImageRecord, ModelCard, Region
from veilset.verify.manifest import verify_manifest
from veilset.verify.redetect import Eyes

PER_FOLDER = 1000
MAX_LINKS = 30_000
SIZE_WH = (500, 375)
SHARE_WITH_FACES = 243_198 / 1_431_093
FACES_EACH = 562_626 / 243_198
STAGES = ("detect", "obfuscate", "verify")
PARTS = (*STAGES, "check", "audit", "report", "list", "remove")
Keep = Callable[[dict[str, object]], None]
STORED = {
    "annotations": "annotations/shard-*",
    "outcomes": "obfuscate/shard-*",
    "verdicts": "verify/shard-*",
    "manifest": "verify/manifest.*",
    "ledgers": "*/ledger/*",
}
CARD = ModelCard("stub", "benchmarks/scale.py", "Apache-2.0", True)


def image_id_of(number: int) -> str:
    """Give the name of an image."""
    return f"{number // PER_FOLDER:07d}/{number:010d}.jpg"


def content(image_id: str) -> bytes:
    """Give the bytes of an image: nobody has to keep them."""
    return sha256(image_id.encode()).digest()


class NumberedImages:
    """A data set that is a number."""

    def __init__(self, n_images: int, root: Path) -> None:
        self.n_images = n_images
        # Where verification asks for size and time of the originals; any file will do.
        self.real_root = root

    def describe(self) -> dict[str, str | int | float | bool]:
        return {"layout": "numbered", "root": str(self.real_root), "n_images": self.n_images}

    def count(self) -> int:
        return self.n_images

    def shards(self, shard_size: int) -> Iterator[Shard]:
        for index, start in enumerate(range(0, self.n_images, shard_size)):
            numbers = range(start, min(start + shard_size, self.n_images))
            yield Shard(index, tuple(map(ImageRecord, map(image_id_of, numbers))))

    @contextmanager
    def open_shard(self, shard: Shard) -> Iterator[Self]:
        yield self

    def read(self, record: ImageRecord) -> bytes:
        return content(record.image_id)

    def passed_over(self) -> dict[str, int]:
        return {}


class Links:
    """Writes every image as a hard link to one small file: names only."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._source = root

    @contextmanager
    def open_shard(self, shard: Shard, _source: object) -> Iterator[Self]:
        source = self.root.with_name("sources") / str(shard.index * len(shard.records) // MAX_LINKS)
        source.parent.mkdir(exist_ok=True)
        source.touch()
        # Only now: the images of another shard are being written meanwhile.
        self._source = source
        for folder in {record.image_id.partition("/")[0] for record in shard.records}:
            (self.root / folder).mkdir(exist_ok=True)
        yield self

    def write(self, record: ImageRecord, _data: bytes) -> None:
        with suppress(FileExistsError):  # written before the kill
            os.link(self._source, f"{self.root}/{record.image_id}")

    def discard(self, record: ImageRecord) -> None:
        raise AssertionError(f"{record.image_id} failed: nothing here may")

    def withdrawn(self) -> tuple[str, ...]:
        return ()

    def finish(self, missing: Iterable[str]) -> None:
        for image_id in missing:
            raise AssertionError(f"{image_id} is missing: nothing here may")


class ColourDetector:
    """Finds in a colour what it always finds there."""

    card = CARD
    settings: dict[str, str] = {}  # noqa: RUF012  of one program
    batch_size = 1

    def detect(self, images: Sequence[np.ndarray]) -> list[tuple[Region, ...]]:
        return [self._faces(image[0, 0].tobytes()) for image in images]

    def _faces(self, colour: bytes) -> tuple[Region, ...]:
        """Draw their number from a geometric distribution, and everything else evenly."""
        random = int.from_bytes(colour, "little") / 2**24
        if random >= SHARE_WITH_FACES:
            return ()
        random = (random + 2**-25) / SHARE_WITH_FACES
        n_faces = min(100, 1 + int(log(random) / log(1 - 1 / FACES_EACH)))
        return tuple(self._face(sha256(colour + bytes([each])).digest()) for each in range(n_faces))

    def _face(self, digest: bytes) -> Region:
        parts = np.frombuffer(digest * 2, "<u4")[:15] / 2.0**32
        x0, y0, width, height = parts[:4] * (400.0, 300.0, 99.0, 74.0)
        points = (parts[5:].reshape(5, 2) * (width, height) + (x0, y0)).tolist()
        box = (float(x0), float(y0), float(x0 + width), float(y0 + height))
        landmarks = tuple((x, y) for x, y in points)
        return Region(box, score=float(parts[4]), landmarks_xy=landmarks)


@dataclass(frozen=True, slots=True)
class Passed:
    """The examination of an image that is as it should be."""

    entry: Any
    image: None = None
    taken: None = None

    def verdict(self) -> ImageVerdict:
        outcome = self.entry.outcome
        if not (outcome and self.entry.found) or outcome.outcome is Outcome.FAILED:
            raise AssertionError(f"{self.entry.image_id} was lost")
        return ImageVerdict(
            outcome.image_id,
            Verdict.PASSED,
            n_regions=outcome.n_regions,
            sha256=outcome.sha256_out,
            n_bytes=outcome.n_bytes_out,
            max_survival=0.0 if outcome.n_regions else None,
        )


class Examiner:
    """Believes the record; what it joins is real."""

    def __init__(self, **_parts: object) -> None:
        pass

    def examine(self, entry: object, _steps: object) -> Passed:
        return Passed(entry)


def colour_of(data: bytes, *, max_pixels: int) -> tuple[np.ndarray, None]:
    """Stand in for the decoder: a picture of one colour that takes no memory."""
    return np.broadcast_to(np.frombuffer(data, np.uint8, 3), (SIZE_WH[1], SIZE_WH[0], 3)), None


def digest_as_written(_store: object, name: str) -> tuple[str, int]:
    """Stand in for reading a file of the output."""
    data = content(name)[::-1]
    return sha256(data).hexdigest(), len(data)


@contextmanager
def without_pixels(n_images: int, root: Path) -> Iterator[None]:
    """Replace whatever touches pixels or files of the data set, and nothing else."""
    images = NumberedImages(n_images, root / "out")
    places: dict[str, object] = {
        "detect.stage.open_reader": lambda *_: images,
        "detect.stage.make_detector": lambda *_: ColourDetector(),
        "detect.stage.decode_image": colour_of,
        "obfuscate.stage.open_reader": lambda *_: images,
        "obfuscate.stage.open_writer": lambda out, like: Links(out),
        "obfuscate.stage.produce": lambda data, *_: data[::-1],
        "verify.stage.open_reader": lambda *_: images,
        "verify.stage.open_eyes": lambda *_: Eyes({}, {}),
        "verify.stage.Examiner": Examiner,
        "verify.manifest.digest_file": digest_as_written,
        "remove.stage.open_release": lambda out, *_: FolderReader(out),
        "remove.stage.open_writer": lambda out, like: FolderWriter(out),
    }
    with ExitStack() as patches:
        for name, value in places.items():
            patches.enter_context(patch(f"veilset.{name}", value))
        yield


def run_part(part: str, n_images: int, root: Path, die_at: int, shard_size: int) -> None:
    """Run one part in this process; kill it when ``die_at`` images are done."""

    def on_progress(progress: Progress) -> None:
        if die_at and progress.n_done >= die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    photos, out, record = root / "photos", root / "out", root / "out.veilset"
    annotations = record / "annotations"
    work: dict[str, Callable[[], object]] = {
        "detect": lambda: veilset.detect_dataset(
            photos,
            annotations,
            DetectConfig(shard_size=shard_size),
            workers=1,
            on_progress=on_progress,
        ),
        "obfuscate": lambda: veilset.obfuscate_dataset(
            photos,
            annotations,
            out,
            ObfuscateConfig(shard_size=shard_size),
            workers=1,
            on_progress=on_progress,
        ),
        "verify": lambda: veilset.verify_dataset(
            photos,
            out,
            annotations,
            VerifyConfig(shard_size=shard_size),
            workers=1,
            on_progress=on_progress,
        ),
        "report": lambda: veilset.write_report(out, annotations, record, root / "report.html"),
        "remove": lambda: veilset.remove_images(
            out, RemoveConfig(reason="simulated", image_ids=(image_id_of(n_images // 2),))
        ),
        "list": lambda: sum(len(shard.records) for shard in FolderReader(out).shards()),
        "check": lambda: verify_manifest(record / "verify", out, workers=1),
        "audit": lambda: veilset.audit_dataset(None, annotations, root / "audit", workers=1),
    }
    with without_pixels(n_images, root):
        result = work[part]()
    if part == "list" and result != n_images:
        raise SystemExit(f"the listing found {result} of {n_images} images")
    if part == "check" and not result.is_intact:
        raise SystemExit(f"the manifest does not fit: {result}")


def session(part: str, n_images: int, root: Path, die_at: int, shard_size: int) -> dict[str, float]:
    """Run a part in a process of its own; give what the system says of it."""
    command = [sys.executable, __file__, root, "--part", part, "--entries", str(n_images)]
    command += ["--shard-size", str(shard_size), "--die-at", str(die_at)]
    start = time.perf_counter()
    # Warnings and errors are shown; a stage says nothing else.
    child = subprocess.Popen(command)
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    expected = -signal.SIGKILL if die_at else 0
    if child.returncode != expected:
        raise SystemExit(f"{part} with {n_images:,} entries ended with {child.returncode}")
    return {
        "wall_s": time.perf_counter() - start,
        "cpu_s": used.ru_utime + used.ru_stime,
        "peak_mib": used.ru_maxrss / 1024,
    }


def measure(n_images: int, root: Path, options: argparse.Namespace, keep: Keep) -> None:
    """Run every part over a data set of that size; say what it took and what it left."""
    root.mkdir(parents=True, exist_ok=True)
    for part, name, die_at in _sessions(options.parts, n_images):
        values = session(part, n_images, root, die_at, options.shard_size)
        keep({"n_images": n_images, "part": part, "session": name, **values})
        print(
            f"{n_images:>10,}  {part:<10} {name:<15} {values['wall_s']:8.1f} s wall "
            f"{values['cpu_s']:8.1f} s cpu {values['peak_mib']:6.0f} MiB",
            flush=True,
        )
    for name, pattern in STORED.items():
        sizes = [path.stat().st_size for path in root.glob(f"out.veilset/{pattern}")]
        if sizes:
            each = sum(sizes) / n_images
            keep({"n_images": n_images, "stored": name, "n_files": len(sizes), "bytes": each})
            print(f"{n_images:>10,}  {name:<20} {each:8.1f} bytes an image, {len(sizes):,} files")


def _sessions(parts: Sequence[str], n_images: int) -> Iterator[tuple[str, str, int]]:
    """Give part, name of the session, and after how many images it is killed (0 for never)."""
    for part in parts:
        if part in STAGES:
            yield part, "killed at half", n_images // 2
            yield part, "resumed", 0
        elif part != "remove":
            yield part, "", 0
    # That a stage finds itself finished comes late: whatever reads a finished one has run.
    for part in parts:
        if part in STAGES:
            yield part, "nothing left", 0
    if "remove" in parts:
        yield "remove", "one image", 0


def main() -> None:
    """Measure data sets of several sizes and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("folder", type=Path, help="where to work; nothing is left there")
    parser.add_argument("--entries", type=int, nargs="+", default=[10**6, 3 * 10**6, 10**7])
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    parser.add_argument("--shard-size", type=int, default=1024)
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    parser.add_argument("--keep", action="store_true", help="leave what was made")
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--die-at", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        size = options.shard_size
        run_part(options.part, options.entries[0], options.folder, options.die_at, size)
        return
    rows: list[dict[str, object]] = []

    def keep(row: dict[str, object]) -> None:
        rows.append(row)
        if options.json:
            options.json.write_text(json.dumps(rows, indent=2) + "\n")

    for n_images in options.entries:
        root = options.folder / str(n_images)
        measure(n_images, root, options, keep)
        if not options.keep:
            shutil.rmtree(root)


if __name__ == "__main__":
    main()
