# SPDX-License-Identifier: Apache-2.0
"""The seams of Veilset: what a plugin has to offer. Every built-in goes through them.

A plugin is a callable (a class or a function) announced under an entry-point group of
``veilset.plugins``; the callable is given its settings and returns one of these.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, runtime_checkable

from veilset.types import Image, ImageRecord, IntBoxes, ModelCard, Region

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
    """

    name: str
    version: int
    summary: str
    parameters: Mapping[str, str | int | float | bool]
    reversible: bool
    weak: str
    max_survival: float
    source: str = ""


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


@dataclass(frozen=True, slots=True)
class Shard:
    """A fixed run of consecutive images: the unit of work, of retry and of resume.

    Attributes:
        index: Place of the shard in the data set, from 0.
        records: Its images, in the order of the data set; none in a container without images.
        container: POSIX path, below the root, of the file that holds exactly these images; ""
            where every image is a file of its own.
    """

    index: int
    records: tuple[ImageRecord, ...]
    container: str = ""


@dataclass(frozen=True, slots=True)
class ShardReport:
    """What became of a shard. Small: it never holds a result for each image.

    Attributes:
        index: Index of the shard.
        counts: How many images ended how, by name.
        seconds: Thread-seconds by step (``read``, ``decode``, ``detect``, ...).
        digest: SHA-256 of what the shard wrote; equal on every engine.
        n_images: Number of images in the shard.
        first_id: First image of the shard, "" if it is empty.
        last_id: Last image of the shard, "" if it is empty.
    """

    index: int
    n_images: int
    counts: Mapping[str, int] = field(default_factory=dict)
    seconds: Mapping[str, float] = field(default_factory=dict)
    digest: str = ""
    first_id: str = ""
    last_id: str = ""


@runtime_checkable
class ShardReader(Protocol):
    """A shard that is open for reading. Safe to call from several threads at once."""

    def read(self, record: ImageRecord) -> bytes:
        """Give the bytes of one image of the shard; errors as ``Reader.read``."""


@runtime_checkable
class Reader(Protocol):
    """A data set that can be read. Images come in a fixed order, ``order_key`` of their id.

    It pickles, and holds no open file.
    """

    def count(self) -> int:
        """Number of images, found without opening one; 0 where that would cost too much."""

    def shards(self, shard_size: int) -> Iterator[Shard]:
        """Go through the data set, holding one shard.

        A shard has ``shard_size`` images; where containers hold them, it is a container.
        """

    def open_shard(self, shard: Shard) -> AbstractContextManager[ShardReader]:
        """Open a shard to read all of its images: what is done once for each shard is done here.

        Raises:
            DatasetError: If its container is gone, damaged, or not what it was when listed.
        """

    def read(self, record: ImageRecord) -> bytes:
        """Give the bytes of one image, wherever it is in the data set.

        Raises:
            DecodeError: If the file is gone, cannot be read or is over the byte limit.
        """

    def passed_over(self) -> Mapping[str, int]:
        """What lies there and is not part of the data set, counted by why.

        Complete once ``count`` or ``shards`` went through all of it.
        """

    def describe(self) -> Mapping[str, str | int | float | bool]:
        """What identifies the data set in a run manifest."""


@runtime_checkable
class ShardWriter(Protocol):
    """A shard that is open for writing. Safe to call from several threads at once."""

    def write(self, record: ImageRecord, data: bytes) -> None:
        """Write one image under its final name."""

    def discard(self, record: ImageRecord) -> None:
        """Make sure that the image is not in the output."""

    def withdrawn(self) -> Collection[str]:
        """Give the ``image_id`` of every image that was written and will not be there.

        An image that failed takes its whole sample with it, other images of the sample too.
        Asked for once, when every image of the shard was written or discarded.
        """


@runtime_checkable
class Writer(Protocol):
    """A data set that can be written. A file appears whole or not at all."""

    def open_shard(self, shard: Shard, source: ShardReader) -> AbstractContextManager[ShardWriter]:
        """Open a shard to write all of its images.

        A container appears when the block ends, under its final name, in the order of its
        source; all but the images is as there, byte by byte. If the block ends in an
        exception, nothing appears.

        Args:
            shard: The shard.
            source: The same shard of the data set that is written anew.

        Raises:
            RunError: If it cannot be written: the disk is full, or read-only.
        """

    def finish(self, gone: Iterable[str]) -> None:
        """Write what tells of the images and holds none, once all shards are written.

        May be called again: it then ends the same way.

        Args:
            gone: ``image_id`` of each image of the data set that is not in the output; gone
                through at most once.

        Raises:
            DatasetError, RunError: If it cannot be read, or cannot be written.
        """


Tick = Callable[[int, int], None]
"""Told as images end: how many more are done, and how many of those failed."""

ShardWork = Callable[[Shard, Tick], ShardReport]
"""Does one shard, all of it, and reports."""


@dataclass(frozen=True, slots=True)
class Places:
    """Local paths that a task touches. A worker on another machine has to see the same ones.

    Attributes:
        run: Folder of the run; it is there before the engine starts.
        reads: Files and folders that are read.
        writes: Folders that are written to, besides that of the run.
    """

    run: Path
    reads: tuple[Path, ...] = ()
    writes: tuple[Path, ...] = ()


class ShardTask(Protocol):
    """Work on shards that an engine can carry to wherever it runs. Has to pickle."""

    def places(self) -> Places:
        """Give the local paths that the work touches; what lies at a URL is left out."""

    def open(self) -> AbstractContextManager[ShardWork]:
        """Build what is needed once for each worker (models, threads); give the work."""


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Which engine runs the shards, and on what. A factory refuses what it cannot honour.

    Attributes:
        name: Name of the engine plugin.
        address: Cluster to run on; "" for the engine's own choice.
        n_gpus: GPUs for each worker; a fraction lets several share one.
        n_threads: Threads that the task starts in each worker; the stage sets it.
        n_processes: Processes of one machine that share its ``n_threads``; 0 for the engine's
            own choice.
        threads_per_process: How many of them each process has at least, if the engine chooses;
            the stage sets it.
    """

    name: str = "local"
    address: str = ""
    n_gpus: float = 0.0
    n_threads: int = 1
    n_processes: int = 0
    threads_per_process: int = 1


@runtime_checkable
class Engine(Protocol):
    """Runs a task over shards. The outputs do not depend on which engine it is."""

    def run(self, task: ShardTask, shards: Iterable[Shard], *, tick: Tick) -> Iterator[ShardReport]:
        """Run the task over every shard; reports come as shards end, in any order.

        The caller commits each report before asking for the next one.
        """
