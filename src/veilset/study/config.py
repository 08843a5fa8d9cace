# SPDX-License-Identifier: Apache-2.0
"""What a study is asked to do; ``yaml_file`` reads it from ``study.yaml``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from veilset.engine.threads import MOST_THREADS
from veilset.errors import ConfigError
from veilset.seeds import check_seed
from veilset.study.recipe import PAPER, Recipe
from veilset.study.value_checks import check_above_0, check_choice, check_name, check_unique

FORMAT = "veilset-study/1"
NONE = "none"
"""Stands for "not pretrained" among the settings that a transfer starts from."""

SOURCES = ("torchvision", "timm")
INITS = ("random", "weights")
OBJECT_FORMATS = ("ilsvrc-xml", "ilsvrc-csv", "coco", "voc")
TASKS = ("cifar10", "sun397", "celeba", "voc-detection")
DEFAULT_SEEDS = (1, 2, 3)
ROLES = ("released", "per_face", "veil", "overlay")


@dataclass(frozen=True, slots=True)
class SettingSpec:
    """One way in which the images are shown: as they are, or obfuscated.

    Attributes:
        name: Its name.
        root: Folder with the sub-folders of the splits; None for the other two kinds.
        layer: Redaction layer over the images of another setting.
        method: Obfuscator plugin, applied on the fly to the regions of the annotation set.
        parameters: Its parameters.
        of: Setting whose files ``layer`` and ``method`` start from.

    Raises:
        ConfigError: If not exactly one of the three is given.
    """

    name: str
    root: Path | None = None
    layer: Path | None = None
    method: str = ""
    parameters: Mapping[str, str | int | float | bool] = field(default_factory=dict)
    of: str = "original"

    def __post_init__(self) -> None:
        check_name("name", self.name)
        if (self.root is not None) + (self.layer is not None) + bool(self.method) != 1:
            raise ConfigError(
                "root: give exactly one of root (a folder), layer (a redaction layer) and method "
                "(an obfuscator)."
            )

    @property
    def kind(self) -> str:
        """``folder``, ``layer`` or ``method``."""
        return "folder" if self.root is not None else "layer" if self.layer else "method"


_LOADING = frozenset(
    "cache_dir checkpoint_path pretrained pretrained_cfg pretrained_cfg_overlay weights "
    "weights_backbone".split()
)
"""Arguments of builders that fetch or read weights."""


@dataclass(frozen=True, slots=True)
class NetworkSpec:
    """A network, and what it does not share with the others.

    Attributes:
        name: Its name in runs and tables.
        source: Library that builds it, one of ``SOURCES``.
        model: Its name there; ``name`` if "".
        arguments: Further arguments of the library's builder; JSON values.
        lr: Learning rate, None for the recipe's.
        batch_size: Images in a step, None for the recipe's.
        init: ``random`` or ``weights``, "" for the study's.

    Raises:
        ConfigError: If a value cannot be used.
    """

    name: str
    source: str = "torchvision"
    model: str = ""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    lr: float | None = None
    batch_size: int | None = None
    init: str = ""

    def __post_init__(self) -> None:
        check_name("name", self.name)
        check_choice("source", self.source, SOURCES)
        check_choice("init", self.init or INITS[0], INITS)
        if loading := sorted(self.arguments.keys() & _LOADING):
            raise ConfigError(
                f"arguments.{loading[0]}: the library would load weights by its own rules, and the "
                "study would know nothing of it. Take it out; 'init: weights' with 'weights' of "
                "the study brings published ones."
            )
        check_above_0("lr", self.lr, "learning rate, as 0.1")
        check_above_0("batch_size", self.batch_size, "number of images, as 256")

    @property
    def model_name(self) -> str:
        """What the library calls it."""
        return self.model or self.name


@dataclass(frozen=True, slots=True)
class ObjectsSpec:
    """Where the boxes of objects are.

    Attributes:
        format: One of ``OBJECT_FORMATS``.
        path: File or folder.
        names: JSON file from the folder names of categories to the names in these files.
    """

    format: str
    path: Path
    names: Path | None = None

    def __post_init__(self) -> None:
        check_choice("format", self.format, OBJECT_FORMATS)


@dataclass(frozen=True, slots=True)
class SaliencySpec:
    """Pairs of saliency maps to be drawn.

    Attributes:
        network: Name of a network of the study.
        settings: Two of its settings.
        seed: One of its seeds.
        n: How many pairs.
        choose: ``most-dropped``, or ``list``: those of ``images``.
        images: Image identifiers.
    """

    network: str
    settings: tuple[str, str]
    seed: int
    n: int = 24
    choose: str = "most-dropped"
    images: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_choice("choose", self.choose, ("most-dropped", "list"))
        check_above_0("n", self.n, "number of pairs, as 24")
        if (self.choose == "list") != bool(self.images):
            raise ConfigError("images: give them with choose: list, and only then.")


@dataclass(frozen=True, slots=True)
class TransferSpec:
    """Another task, for which trained networks are tuned further.

    Attributes:
        task: One of ``TASKS``.
        root: Folder of its data set.
        networks: Names of networks of the study.
        sources: Settings whose weights are the start; ``NONE`` for random ones.
        seeds: Seeds of the study.
        recipe: Changes of the recipe ``finetune``.
        lr_grid: Learning rates that are tried; empty for the recipe's alone.
        sample: Whether a part of the data set will do.
        partition: Number of the partition of SUN397.
        n_train: Training images drawn from CelebA.
    """

    task: str
    root: Path
    networks: tuple[str, ...]
    sources: tuple[str, ...]
    seeds: tuple[int, ...]
    recipe: Mapping[str, object] = field(default_factory=dict)
    lr_grid: tuple[float, ...] = ()
    sample: bool = False
    partition: int = 1
    n_train: int = 5000

    def __post_init__(self) -> None:
        check_choice("task", self.task, TASKS)
        if self.task == "voc-detection" and NONE in self.sources:
            raise ConfigError(
                f"from: voc-detection starts from trained weights only. Leave {NONE!r} out."
            )
        for rate in self.lr_grid:
            check_above_0("lr_grid", rate, "learning rate, as 0.1")
        if not 1 <= self.partition <= 10:
            raise ConfigError(f"partition: {self.partition} is not in 1 to 10, as SUN397 has them.")
        check_above_0("n_train", self.n_train, "number of images, as 5000")


@dataclass(frozen=True, slots=True)
class DataSpec:
    """The images and what is known about them.

    Attributes:
        train: Sub-folder of every setting.
        val: The same.
        classes: JSON file with the list of class folders; None for all folders, sorted.
        names: JSON file from folder names to names for people.
        annotations: Finished annotation set of the reference's images.
        min_score: Regions of a detector below it do not count, in [0, 1].
        objects: Where the boxes of objects are.
        images: ``same``: every setting must have the same. ``shared``: those that all have.
    """

    train: str = "train"
    val: str = "val"
    classes: Path | None = None
    names: Path | None = None
    annotations: Path | None = None
    min_score: float = 0.0
    objects: ObjectsSpec | None = None
    images: str = "same"

    def __post_init__(self) -> None:
        check_choice("images", self.images, ("same", "shared"))
        if not 0 <= self.min_score <= 1:
            raise ConfigError(f"min_score: {self.min_score!r} is not in [0, 1].")
        for key, value in (("train", self.train), ("val", self.val)):
            if not value or value != value.strip("/") or ".." in value.split("/"):
                raise ConfigError(f"{key}: {value!r} is not a folder within a setting.")
        if self.train == self.val:
            raise ConfigError(f"val: {self.val!r} is what networks are trained on. Name another.")


@dataclass(frozen=True, slots=True)
class StudyConfig:
    """A study; ``docs/study.md`` has every key.

    Attributes:
        name: Title of its tables.
        out: Folder for everything it makes.
        data: The images.
        settings: By name, in the order of the tables; at least two.
        networks: In the order of the tables.
        reference: Setting that drops are measured against.
        init: ``random``, or ``weights``: published ones, not trained.
        weights: Folder of published weights; None for the library's own.
        seeds: Seeds of the runs.
        train: Settings that networks are trained on.
        evaluate: For each of them the settings that they are evaluated on.
        recipe: How they are trained.
        threads: Threads of PyTorch in a run; sums on a CPU depend on them.
        workers: Processes that read pictures; never changes a result.
        cache_mb: Megabytes of decoded pictures that are kept for each setting and split.
        scores: ``all``, or ``top``: only the best five classes, without their scores.
        checkpoint_every_s: Seconds.
        sem_ddof: 1, or 2 to repeat the paper's standard errors.
        bootstrap: Resamples.
        area_bins: Ends of the bins of the obfuscated share, in [0, 1].
        object_bins: Ends of the bins of the covered share of objects, in [0, 1].
        roles: Setting of each of ``ROLES``, as far as there is one.
        transfer: Further tasks.
        saliency: Saliency maps, None for none.

    Raises:
        ConfigError: If a value cannot be used, or names something that the study lacks.
    """

    name: str
    out: Path
    data: DataSpec
    settings: Mapping[str, SettingSpec]
    networks: tuple[NetworkSpec, ...]
    reference: str = "original"
    init: str = "random"
    weights: Path | None = None
    seeds: tuple[int, ...] = DEFAULT_SEEDS
    train: tuple[str, ...] = ()
    evaluate: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    recipe: Recipe = PAPER
    threads: int = 1
    workers: int = 0
    cache_mb: int = 2048
    scores: str = "all"
    checkpoint_every_s: float = 600.0
    sem_ddof: int = 1
    bootstrap: int = 10_000
    area_bins: tuple[float, ...] = (0.0, 0.01, 0.02, 0.04, 0.08, 1.0)
    object_bins: tuple[float, ...] = (0.0, 0.005, 0.05, 1.0)
    roles: Mapping[str, str] = field(default_factory=dict)
    transfer: tuple[TransferSpec, ...] = ()
    saliency: SaliencySpec | None = None

    def __post_init__(self) -> None:
        check_choice("init", self.init, INITS)
        check_choice("scores", self.scores, ("all", "top"))
        if len(self.settings) < 2:
            raise ConfigError("settings: a study compares at least two. Add an obfuscated one.")
        self._check_numbers()
        check_unique("networks", [each.name for each in self.networks])
        check_unique("seeds", self.seeds)
        self._check_settings()
        self._check_tasks()

    def network(self, name: str) -> NetworkSpec:
        """Give a network by name.

        Raises:
            ConfigError: If the study has none of that name.
        """
        for each in self.networks:
            if each.name == name:
                return each
        known = ", ".join(each.name for each in self.networks)
        raise ConfigError(f"networks: there is no network {name!r}. The study has: {known}.")

    def _check_numbers(self) -> None:
        if any(seed < 0 for seed in self.seeds):
            raise ConfigError(f"seeds: {min(self.seeds)} is below 0. Give whole numbers from 0.")
        for seed in self.seeds:
            check_seed(seed)
        for key, least in (
            ("threads", 1), ("workers", 0), ("cache_mb", 0), ("bootstrap", 1000),
        ):  # fmt: skip
            if getattr(self, key) < least:
                raise ConfigError(f"{key}: {getattr(self, key)} is below {least}.")
        # Results depend on the threads: the limit is the same on every machine.
        for key in ("threads", "workers"):
            if getattr(self, key) > MOST_THREADS:
                raise ConfigError(
                    f"{key}: {getattr(self, key)} is above {MOST_THREADS}. Give as many as the "
                    "machine has cores, or fewer."
                )
        check_above_0("checkpoint_every_s", self.checkpoint_every_s, "number of seconds, as 600")
        if self.sem_ddof not in (1, 2):
            raise ConfigError(f"sem_ddof: {self.sem_ddof} is neither 1 nor 2.")
        for key in ("area_bins", "object_bins"):
            ends = getattr(self, key)
            rising = all(a < b for a, b in pairwise(ends))
            if len(ends) < 2 or ends[0] != 0 or ends[-1] != 1 or not rising:
                raise ConfigError(f"{key}: {list(ends)} does not rise from 0 to 1.")

    def _check_settings(self) -> None:
        self._require("reference", [self.reference])
        self._require("train", self.train)
        check_unique("train", self.train)
        for name, others in self.evaluate.items():
            self._require("evaluate", [name])
            self._require(f"evaluate.{name}", others)
            check_unique(f"evaluate.{name}", others)
            if name not in self.train:
                raise ConfigError(f"evaluate.{name}: nothing is trained on it. Add it to train.")
        for key, name in self.roles.items():
            check_choice("roles", key, ROLES)
            self._require(f"roles.{key}", [name])
        for spec in self.settings.values():
            if spec.kind == "folder":
                continue
            self._require(f"settings.{spec.name}.of", [spec.of])
            if self.settings[spec.of].kind != "folder":
                raise ConfigError(f"settings.{spec.name}.of: {spec.of!r} is not a folder itself.")
            if spec.kind == "method" and self.data.annotations is None:
                raise ConfigError(
                    f"settings.{spec.name}: method needs data.annotations, the annotation set "
                    "that says where the faces are."
                )

    def _check_tasks(self) -> None:
        for number, task in enumerate(self.transfer):
            where = f"transfer[{number}]"
            for name in task.networks:
                self.network(name)
            check_unique(f"{where}.networks", task.networks)
            check_unique(f"{where}.from", task.sources)
            self._require_trained(f"{where}.from", [s for s in task.sources if s != NONE])
            check_unique(f"{where}.seeds", task.seeds)
            if unknown := [seed for seed in task.seeds if seed not in self.seeds]:
                raise ConfigError(f"{where}.seeds: {unknown[0]} is not among the study's seeds.")
        if self.saliency is not None:
            self.network(self.saliency.network)
            self._require_trained("saliency.settings", self.saliency.settings)
            if self.saliency.seed not in self.seeds:
                raise ConfigError(f"saliency.seed: {self.saliency.seed} is not among the seeds.")

    def _require(self, where: str, names: Sequence[str]) -> None:
        for name in names:
            if name not in self.settings:
                known = ", ".join(self.settings)
                raise ConfigError(f"{where}: there is no setting {name!r}. The study has: {known}.")

    def _require_trained(self, where: str, names: Sequence[str]) -> None:
        self._require(where, names)
        for name in names:
            if name not in self.train:
                raise ConfigError(f"{where}: nothing is trained on {name!r}. Add it to train.")
