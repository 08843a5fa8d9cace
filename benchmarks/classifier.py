# SPDX-License-Identifier: Apache-2.0
"""How often a classifier names the category of a photograph, and how sure it may be of it.

    python benchmarks/classifier.py PHOTOS [--classifier efficientnet-lite0] [--threads 2]

PHOTOS holds a folder named by its WordNet identifier for each category, at any depth. Told
are top-1 and top-5 with Wilson's 95 % intervals, of all photographs, of those whose file
names are of ILSVRC's validation set (``ILSVRC2012_val_...``, which networks were not trained
on) and of the dogs; what share of the photographs is right at each score; and images in a
second, from the pixels on and from the file on. Photographs of categories that the
classifier does not know are left out.
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from veilset.images.decode import decode_image
from veilset.intervals import wilson
from veilset.plugins import make_classifier
from veilset.protocols import Classifier, Guess, RuntimeSettings

FIRST_DOG, LAST_DOG = "n02085620", "n02113978"
"""The 118 breeds of dogs stand together among ImageNet's categories."""

BINS = (0.0, 0.3, 0.5, 0.7, 0.9, 1.0)


@dataclass(frozen=True)
class Answer:
    """What was said of a photograph, and what is true."""

    path: Path
    category: str
    guesses: tuple[Guess, ...]

    @property
    def is_right(self) -> bool:
        return self.guesses[0].label == self.category

    @property
    def is_among(self) -> bool:
        return self.category in [guess.label for guess in self.guesses]


def share(answers: Sequence[Answer], name: str, hits: int) -> str:
    """Give a share as text."""
    low, high = wilson(hits, len(answers))
    return f"{name} {hits / len(answers):.3f} [{low:.3f}, {high:.3f}]"


def told(name: str, answers: Sequence[Answer]) -> None:
    """Print how many are right."""
    if not answers:
        return
    first = share(answers, "top-1", sum(each.is_right for each in answers))
    five = share(answers, "top-5", sum(each.is_among for each in answers))
    print(f"{name:<24} n {len(answers):5}   {first}   {five}")


def is_dog(category: str) -> bool:
    return FIRST_DOG <= category <= LAST_DOG


def calibration(name: str, answers: Sequence[Answer]) -> None:
    """Print what share is right at each score, and the mean distance of the two."""
    distance = 0.0
    print(f"{name}, score      n   mean score   right")
    for low, high in pairwise(BINS):
        some = [a for a in answers if low <= a.guesses[0].score < high + (high == 1.0)]
        if not some:
            continue
        mean = sum(each.guesses[0].score for each in some) / len(some)
        right = sum(each.is_right for each in some)
        distance += abs(mean * len(some) - right)
        print(f"{low:.1f} to {high:.1f} {len(some):6} {mean:12.3f}   {share(some, '', right)}")
    print(f"expected calibration error {distance / len(answers):.3f}")


def answered(classifier: Classifier, paths: Sequence[Path], n_threads: int) -> list[Answer]:
    """Classify the photographs; the time counts from the files on."""

    def answer(path: Path) -> Answer:
        image, _ = decode_image(path.read_bytes())
        (guesses,) = classifier.classify([image])
        return Answer(path, path.parent.name, guesses)

    with ThreadPoolExecutor(n_threads) as pool:
        return list(pool.map(answer, paths))


def speed(classifier: Classifier, paths: Sequence[Path]) -> float:
    """Give the images in a second of one thread, from the pixels on."""
    images = [decode_image(path.read_bytes())[0] for path in paths]
    classifier.classify(images[:2])
    start = time.perf_counter()
    for image in images:
        classifier.classify([image])
    return len(images) / (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("photos", type=Path)
    parser.add_argument("--classifier", default="efficientnet-lite0")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--precision", default="full")
    options = parser.parse_args()

    settings = RuntimeSettings(precision=options.precision, n_threads=options.threads)
    classifier = make_classifier(options.classifier, settings)
    found = sorted(path for path in options.photos.rglob("*") if path.is_file())
    paths = [path for path in found if path.parent.name in classifier.labels]
    start = time.perf_counter()
    answers = answered(classifier, paths, options.threads)
    seconds = time.perf_counter() - start

    print(f"{options.classifier}, {dict(classifier.settings)}")
    print(f"{len(found) - len(paths)} files of no known category were left out")
    told("all", answers)
    held_out = [each for each in answers if each.path.name.startswith("ILSVRC2012_val_")]
    told("ILSVRC validation", held_out)
    dogs = [each for each in answers if is_dog(each.category)]
    told("dogs", dogs)
    if dogs:
        n_called = sum(is_dog(each.guesses[0].label) for each in dogs)
        print(f"{'':<24} {share(dogs, 'called some dog', n_called)}")
    others = [each for each in answers if not is_dog(each.category)]
    if others:
        n_called = sum(is_dog(each.guesses[0].label) for each in others)
        print(f"{'not dogs':<24} {share(others, 'called some dog', n_called)}, n {len(others)}")
    calibration("all", answers)
    if held_out:
        calibration("ILSVRC validation", held_out)
    print(
        f"{len(answers) / seconds:.0f} images/s with {options.threads} threads from the file on, "
        f"{speed(classifier, paths[:100]):.0f} with one from the pixels on ({platform.machine()})"
    )


if __name__ == "__main__":
    main()
