# SPDX-License-Identifier: Apache-2.0
"""What looks at images, and what changes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from veilset.types import Image, IntBoxes, ModelCard, Region

EFFORTS = ("fast", "balanced", "thorough")
PRECISIONS = ("full", "fast")
DEVICES = ("cpu", "cuda")


@dataclass(frozen=True, slots=True)
class RuntimeSettings:
    """How a network is to be run. A factory refuses what it cannot honour.

    Attributes:
        device: ``cpu`` or ``cuda``.
        precision: ``full`` (float32) or ``fast`` (bfloat16 or int8 where the CPU has it).
        runtime: ``openvino``, ``onnxruntime`` or ``auto``.
        n_threads: How many threads will call at the same time.
    """

    device: str = "cpu"
    precision: str = "full"
    runtime: str = "auto"
    n_threads: int = 1


@dataclass(frozen=True, slots=True)
class DetectorSettings(RuntimeSettings):
    """How a detector is to work. A factory refuses what it cannot honour.

    Attributes:
        weights: Path of a weight file, for detectors that bring none; None for their own.
        weights_licence: Licence of that file as its owner states it, "" if not stated.
        effort: ``fast``, ``balanced`` or ``thorough``.
        threshold: Lowest score that counts, in [0, 1]; None for the detector's own
            choice at that effort.
        is_asked_for: False where nobody named the detector and it is only tried because it
            is installed. One that costs far more than others do then refuses with a
            ``ConfigError`` that says how to ask for it.
    """

    weights: str | None = None
    weights_licence: str = ""
    effort: str = "balanced"
    threshold: float | None = None
    is_asked_for: bool = True


@runtime_checkable
class Detector(Protocol):
    """Finds regions. Safe to call from several threads at once."""

    @property
    def card(self) -> ModelCard:
        """Where the weights come from."""

    @property
    def settings(self) -> Mapping[str, str | int | float | bool]:
        """Everything that decides the result, resolved: it goes into the run manifest."""

    @property
    def batch_size(self) -> int:
        """How many images a call likes to get; 1 where batching buys nothing."""

    def detect(self, images: Sequence[Image]) -> list[tuple[Region, ...]]:
        """Find the regions of each image, strongest first, boxes inside the image.

        The result for an image does not depend on the others of the call.
        """


@runtime_checkable
class FaceEstimator(Protocol):
    """Estimates facts about faces, such as age and gender. Safe to call from several threads.

    The names of the attributes that the audit counts are ``age``, ``age_low``, ``age_high``
    (years), ``gender`` (a text) and ``gender_score`` (its probability, in [0, 1]).
    """

    @property
    def cards(self) -> Sequence[ModelCard]:
        """Where the weights come from, one card for each file."""

    @property
    def settings(self) -> Mapping[str, str | int | float | bool]:
        """Everything that decides the result, resolved: it goes into the run manifest."""

    def estimate(
        self, image: Image, faces: Sequence[Region]
    ) -> list[Mapping[str, str | int | float | bool]]:
        """Give the attributes of each face, in the same order; empty where it cannot judge.

        Args:
            image: The whole image, ``(H, W, 3)`` uint8 RGB.
            faces: Regions of it, boxes inside or across its border.
        """


@dataclass(frozen=True, slots=True)
class RecogniserSettings(RuntimeSettings):
    """How a recogniser is to work. A factory refuses what it cannot honour.

    Attributes:
        weights: Path of a weight file, for recognisers that bring none; None for their own.
        weights_licence: Licence of that file as its owner states it, "" if not stated.
        threshold: Largest distance at which two faces count as one person's; None for the
            recogniser's own, if it has one.
    """

    weights: str | None = None
    weights_licence: str = ""
    threshold: float | None = None


@runtime_checkable
class Recogniser(Protocol):
    """Tells people apart by their faces. Safe to call from several threads at once."""

    @property
    def cards(self) -> Sequence[ModelCard]:
        """Where the weights come from, one card for each file."""

    @property
    def settings(self) -> Mapping[str, str | int | float | bool]:
        """Everything that decides the result, resolved: it goes into the run manifest."""

    @property
    def metric(self) -> str:
        """How its embeddings are compared: ``euclidean``, or ``cosine`` (1 - cosine)."""

    @property
    def threshold(self) -> float | None:
        """Largest distance at which two faces count as one person's; None if none is known."""

    @property
    def side_px(self) -> int:
        """Side of the faces that ``cut`` gives and ``embed`` takes."""

    def cut(self, image: Image, face: Region, *, aligned_on: Image | None = None) -> Image:
        """Cut one face out, upright, as the recogniser wants to see it.

        Args:
            image: The whole image, ``(H, W, 3)`` uint8 RGB, contiguous.
            face: A region of it, its box inside the image or across its border.
            aligned_on: Image of the same size in which the landmarks are looked for: the
                original, for an attacker who is given the best alignment there is. None for
                ``image`` itself.

        Returns:
            ``(side_px, side_px, 3)`` uint8 RGB.
        """

    def embed(self, chips: Sequence[Image]) -> NDArray[np.float32]:
        """Give the embedding of each face that ``cut`` gave, ``(N, D)``.

        The result for a face does not depend on the others of the call.
        """


@dataclass(frozen=True, slots=True)
class Guess:
    """One label that a classifier gives an image.

    Attributes:
        label: The label; for ImageNet's categories the WordNet identifier.
        score: Its probability, in [0, 1].
    """

    label: str
    score: float


@runtime_checkable
class Classifier(Protocol):
    """Says what an image shows. Safe to call from several threads."""

    @property
    def cards(self) -> Sequence[ModelCard]:
        """Where the weights come from, one card for each file."""

    @property
    def settings(self) -> Mapping[str, str | int | float | bool]:
        """Everything that decides the result, resolved: it goes into the run manifest."""

    @property
    def labels(self) -> Mapping[str, str]:
        """Every label that it knows, and its name for people."""

    def classify(self, images: Sequence[Image]) -> list[tuple[Guess, ...]]:
        """Give the five most likely labels of each image, likeliest first.

        The result for an image does not depend on the others of the call.
        """


@dataclass(frozen=True, slots=True)
class MethodCard:
    """What an obfuscation method promises.

    Attributes:
        name: Name of the method, as the command line takes it.
        version: Counts up whenever the same input would give other bytes.
        summary: One sentence for people.
        parameters: Every setting with its value, resolved.
        reversible: True if the face can be computed back from the output.
        weak: Why the method should not be relied upon, "" if it may.
        max_survival: The contract that ``verify`` measures: the largest share of the
            region's identity-carrying detail, in [0, 1], that may be left in the output.
        source: Paper or code that the method follows, "" for our own.
        draws_faces: Whether what it puts in place of a face is meant to look like one, so that
            a detector that finds it there has found nothing of the original.
    """

    name: str
    version: int
    summary: str
    parameters: Mapping[str, str | int | float | bool]
    reversible: bool
    weak: str
    max_survival: float
    source: str = ""
    draws_faces: bool = False


@runtime_checkable
class Obfuscator(Protocol):
    """Makes regions unreadable. Defined for every region size from 1 px up.

    Regions may overlap, cross the border or lie outside; their order does not matter.
    """

    @property
    def card(self) -> MethodCard:
        """What the method promises."""

    def core(self, regions: Sequence[Region], size_wh: tuple[int, int]) -> IntBoxes:
        """Pixels of each region, ``(N, 4)``, in which nothing of the original shows through
        beyond the method's contract. Always contains the region, rounded outward."""

    def footprint(self, regions: Sequence[Region], size_wh: tuple[int, int]) -> IntBoxes:
        """Pixels that each region may change, ``(N, 4)``; contains ``core``.

        Pixels outside every footprint are never changed.
        """

    def obfuscate(self, image: Image, regions: Sequence[Region], *, seed: int = 0) -> Image:
        """Give a copy of the image with the regions obfuscated; the input is untouched.

        Args:
            image: ``(H, W, 3)`` uint8 RGB.
            regions: Any number; none gives an equal copy.
            seed: Decides whatever is random; same seed, same bytes.
        """


@runtime_checkable
class Substituting(Protocol):
    """What an obfuscator also is that leaves to ``veil`` the regions that it cannot do itself."""

    def substituted(self, regions: Sequence[Region], size_wh: tuple[int, int]) -> list[str]:
        """Say of each region why ``veil`` stands in for this method, "" where it does not.

        Decided by where the regions are and what is known of them, never by pixels. Reasons are
        a few words for people, the same for regions with the same reason.
        """


@runtime_checkable
class ModelUser(Protocol):
    """What an obfuscator also is that uses a network."""

    @property
    def models(self) -> Sequence[ModelCard]:
        """Where the weights come from, one card for each file."""
