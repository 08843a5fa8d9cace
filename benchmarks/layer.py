# SPDX-License-Identifier: Apache-2.0
"""What a redaction layer weighs and costs, and how near pictures on the fly are to the release.

python benchmarks/layer.py pictures PHOTOS           # a folder of classes
python benchmarks/layer.py size [--images 1000000]   # drawn digests and boxes, no pixels

``pictures`` detects, makes a layer and a release with it, and compares ``ObfuscatedImages`` with
``torchvision``'s ``ImageFolder`` on the release: pixels that are equal, PSNR, images a second
in one process. ``size`` makes a layer of many images, each part in a process of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import random
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from veilset.annotations.layer import Layer
from veilset.annotations.layer_format import LayerFacts
from veilset.annotations.layer_writer import write_layer_file
from veilset.detect.stage import DetectConfig, detect_dataset
from veilset.layer.stage import write_layer
from veilset.obfuscate.stage import obfuscate_dataset
from veilset.plugins import make_obfuscator
from veilset.torch import ObfuscatedImages
from veilset.types import Annotations, ImageRecord, Region, Status

REPEATS = 3


def compare_pictures(photos: Path) -> None:
    """Print how far pictures on the fly are from those of the release, and how fast they come."""
    from torchvision.datasets import ImageFolder

    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        detect_dataset(photos, base / "annotations", DetectConfig())
        layer = write_layer(base / "annotations", base / "layer.arrow").path
        obfuscate_dataset(photos, layer, base / "released")
        released = ImageFolder(str(base / "released"))
        plain = ObfuscatedImages(photos, layer, on_refused="skip")
        exact = ObfuscatedImages(photos, layer, on_refused="skip", exact=True)
        print(f"{len(plain)} images, {len(plain.refused)} refused")
        report_difference(plain, released)
        n_same = sum(pixels(exact, i).tobytes() == pixels(released, i).tobytes()
                     for i in range(len(exact)))  # fmt: skip
        print(f"exact: {n_same} of {len(exact)} pictures equal to those of the release")
        originals = ImageFolder(str(photos))
        for repeat in range(REPEATS):
            for name, data in {
                "ImageFolder, originals": originals, "ImageFolder, release": released,
                "ObfuscatedImages": plain, "ObfuscatedImages, exact": exact,
            }.items():  # fmt: skip
                started = time.process_time()
                for index in range(len(data)):
                    data[index]
                spent = time.process_time() - started
                print(f"{repeat}: {name}: {len(data) / spent:.0f} images per second of processor")


def report_difference(plain: Any, released: Any) -> None:
    """Print the share of equal pixels and the PSNR of the pictures that differ at all."""
    equal, psnr, touched = [], [], 0
    for index in range(len(plain)):
        a, b = pixels(plain, index).astype(int), pixels(released, index).astype(int)
        squared = ((a - b) ** 2).mean()
        equal.append((a == b).all(axis=2).mean())
        if squared:
            touched += 1
            psnr.append(10 * np.log10(255**2 / squared))
    print(f"equal pixels: {np.mean(equal):.4%} of all; least in one picture {min(equal):.2%}")
    print(f"pictures that differ: {touched} of {len(equal)}")
    if psnr:
        print(f"their PSNR: median {np.median(psnr):.1f} dB, least {min(psnr):.1f} dB")


def pixels(data: Any, index: int) -> Any:
    """Give a picture of a data set as an array."""
    return np.asarray(data[index][0])


def rows(n_images: int) -> Iterator[Annotations]:
    """Draw what a detector would find: a region in every third image on average."""
    chance = random.Random(0)
    for at in range(n_images):
        regions = [
            Region((x := chance.random() * 400, y := chance.random() * 300, x + 37.5, y + 50.25))
            for _ in range(chance.choice((0, 0, 0, 0, 1, 1)))
        ]
        digest = hashlib.sha256(b"%d" % at).hexdigest()
        name = f"n{at // 1300:08d}/n{at // 1300:08d}_{at}.JPEG"
        yield Annotations(name, Status.LOOKED, tuple(regions), 500, 375, digest, 110_000)


def make(path: Path, n_images: int) -> None:
    """Write the layer."""
    card = make_obfuscator("veil", {}).card
    facts = LayerFacts(
        card.name, card.version, card.summary, card.parameters, (), 0.0, "safe", 90, 0,
        n_images, 0, {}, "", None,
    )  # fmt: skip
    write_layer_file(path, rows(n_images), lambda: facts, has_names=True)


def draw(_path: Path, n_images: int) -> None:
    """Draw the rows and write nothing, to know what that part costs."""
    for _ in rows(n_images):
        pass


def open_and_find(path: Path, n_images: int) -> None:
    """Open the layer, check all of it, and look up as many contents as it has, at most 100,000."""
    started = time.perf_counter()
    layer = Layer(path)
    opened = time.perf_counter()
    assert len(layer) == n_images
    checked = time.perf_counter()
    n_found = min(n_images, 100_000)
    for row in rows(n_found):
        assert layer.find(ImageRecord(row.image_id), row.sha256).regions == row.regions
    found = time.perf_counter()
    print(
        f"  open {1000 * (opened - started):.1f} ms, check all {checked - opened:.2f} s, look up "
        f"{1e6 * (found - checked) / n_found:.0f} us each (drawing the row included)"
    )


def measure(name: str, part: Callable[[Path, int], None], path: Path, n_images: int) -> None:
    """Run a part in a process of its own; print its time and most memory."""

    def body() -> None:
        started = time.perf_counter()
        part(path, n_images)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{name}: {time.perf_counter() - started:.1f} s, {peak:.0f} MiB at most", flush=True)

    process = multiprocessing.get_context("fork").Process(target=body)
    process.start()
    process.join()


def main() -> None:
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("pictures", "size"))
    parser.add_argument("photos", type=Path, nargs="?")
    parser.add_argument("--images", type=int, default=1_000_000)
    options = parser.parse_args()
    if options.what == "pictures":
        if not options.photos:
            parser.error("pictures needs PHOTOS")
        compare_pictures(options.photos)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "layer.arrow"
        measure("draw", draw, path, options.images)
        measure("write", make, path, options.images)
        n_bytes = path.stat().st_size
        print(f"{n_bytes:,} bytes, {n_bytes / options.images:.0f} for each image")
        measure("open, check, find", open_and_find, path, options.images)


if __name__ == "__main__":
    main()
