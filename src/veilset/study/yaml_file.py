# SPDX-License-Identifier: Apache-2.0
"""``study.yaml``: read strictly, so that no misspelt key passes for a default."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar

from veilset.errors import ConfigError
from veilset.study.config import (
    DEFAULT_SEEDS,
    FORMAT,
    NONE,
    DataSpec,
    NetworkSpec,
    ObjectsSpec,
    SaliencySpec,
    SettingSpec,
    StudyConfig,
    TransferSpec,
)
from veilset.study.recipe import Recipe, make_recipe
from veilset.study.yaml_values import Section, load_mapping, within

EXAMPLES = ("ilsvrc", "ilsvrc-pretrained", "imagenette")

_SIMPLE = (
    ("reference", Section.text), ("init", Section.text), ("scores", Section.text),
    ("threads", Section.whole), ("workers", Section.whole), ("cache_mb", Section.whole),
    ("sem_ddof", Section.whole), ("bootstrap", Section.whole),
    ("checkpoint_every_s", Section.number), ("area_bins", Section.numbers),
    ("object_bins", Section.numbers), ("seeds", Section.wholes), ("weights", Section.path),
)  # fmt: skip

_T = TypeVar("_T")


def example(name: str) -> str:
    """Give the text of a study that comes with Veilset.

    Raises:
        ConfigError: If there is none of that name.

    Example:
        >>> example("imagenette").splitlines()[2]
        'format: veilset-study/1'
    """
    if name not in EXAMPLES:
        raise ConfigError(f"There is no example {name!r}. Choose: {', '.join(EXAMPLES)}.")
    file = resources.files("veilset.study") / "files" / f"{name}.yaml"
    return file.read_text(encoding="utf-8")


def read_study(path: Path, *, recipe: str | None = None) -> StudyConfig:
    """Read a study; paths in it are meant from its folder.

    Args:
        path: The file.
        recipe: Recipe that takes the place of the one in the file.

    Raises:
        ConfigError: If it cannot be read, or a key or value cannot be used; the message says
            which.
    """
    with within(path.name, colon=", "):
        top = Section(load_mapping(path), "", path.parent)
        if (found := top.text("format")) != FORMAT:
            raise ConfigError(f"format: {found!r} is not known. This version reads {FORMAT!r}.")
        settings = _settings(top.section("settings"))
        values: dict[str, Any] = {
            "name": top.text("name", path.stem),
            "out": top.path("out") or path.absolute().parent / f"{path.stem}.study",
            "data": _data(top.section("data", required=False) or Section({}, "", top.folder)),
            "settings": settings,
            "networks": _each(top, "networks", _network),
            "recipe": make_recipe(recipe) if recipe else _recipe(top),
        }
        if recipe:
            top.take("recipe")
        for key, kind in _SIMPLE:
            if top.take(key) is not None:
                values[key] = kind(top, key)
        values["train"] = top.texts("train", tuple(settings))
        values["evaluate"] = _evaluate(top, values["train"])
        values["roles"] = _roles(top, settings)
        seeds = values.get("seeds", DEFAULT_SEEDS)
        values["transfer"] = _each(
            top, "transfer", lambda part, _: _transfer(part, values["train"], seeds), required=False
        )
        values["saliency"] = _saliency(top)
        top.end()
        return StudyConfig(**values)


def _each(
    top: Section, key: str, read: Callable[[Section, str], _T], *, required: bool = True
) -> tuple[_T, ...]:
    """Read the parts of a list, each a mapping or, for a network, a name."""
    found = []
    for number, item in enumerate(top.items(key, required=required)):
        with within(f"{key}[{number}]"):
            name = item if isinstance(item, str) else ""
            part = Section({} if name else item, "", top.folder)
            found.append(read(part, name))
            part.end()
    return tuple(found)


def _settings(section: Section) -> dict[str, SettingSpec]:
    specs = {}
    for name in section.names():
        with within(f"settings.{name}"):
            part = section.section(name)
            specs[name] = SettingSpec(
                name=name,
                root=part.path("root"),
                layer=part.path("layer"),
                method=part.text("method", ""),
                parameters=part.scalars("set"),
                of=part.text("of", "original"),
            )
            part.end()
    return specs


def _data(section: Section) -> DataSpec:
    with within("data"):
        classes = section.text("classes", "folders")
        objects = section.section("objects", required=False)
        spec = DataSpec(
            train=section.text("train", "train"),
            val=section.text("val", "val"),
            classes=None if classes == "folders" else section.resolve(classes),
            names=section.path("names"),
            annotations=section.path("annotations"),
            min_score=section.number("min_score", 0.0) or 0.0,
            objects=_objects(objects) if objects else None,
            images=section.text("images", "same"),
        )
        section.end()
    return spec


def _objects(section: Section) -> ObjectsSpec:
    with within("objects"):
        path = section.path("path", required=True)
        spec = ObjectsSpec(section.text("format"), Path(path or ""), section.path("names"))
        section.end()
    return spec


def _network(part: Section, name: str) -> NetworkSpec:
    return NetworkSpec(
        name=name or part.text("name"),
        source=part.text("source", "torchvision"),
        model=part.text("model", ""),
        arguments=part.mapping("arguments"),
        lr=part.number("lr", None),
        batch_size=part.whole("batch_size", None),
        init=part.text("init", ""),
    )


def _recipe(top: Section) -> Recipe:
    given = top.take("recipe")
    if given is None or isinstance(given, str):
        return make_recipe(given or "paper")
    changes = dict(Section(given, "recipe", top.folder).values)
    with within("recipe"):
        return make_recipe(str(changes.pop("base", "paper")), changes)


def _evaluate(top: Section, train: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    given = top.take("evaluate")
    same: dict[str, tuple[str, ...]] = {name: (name,) for name in train}
    if given is None or given == "same":
        return same
    part = Section(given, "evaluate", top.folder)
    with within("evaluate"):
        return same | {name: part.texts(name, ()) for name in part.names()}


def _roles(top: Section, settings: Mapping[str, SettingSpec]) -> dict[str, str]:
    part = top.section("roles", required=False)
    if part is not None:
        with within("roles"):
            return {name: part.text(name) for name in part.names()}
    usual = {
        "released": ("blur-released", "blur-paper"),
        "per_face": ("blur",),
        "veil": ("veil",),
        "overlay": ("overlay",),
    }
    found = {role: [name for name in names if name in settings] for role, names in usual.items()}
    return {role: names[0] for role, names in found.items() if names}


def _transfer(part: Section, train: tuple[str, ...], seeds: tuple[int, ...]) -> TransferSpec:
    task = part.text("task")
    none = () if task == "voc-detection" else (NONE,)
    changes = part.mapping("recipe")
    with within("recipe"):
        make_recipe("finetune", changes)
    optional = {
        key: value for key in ("partition", "n_train") if (value := part.whole(key)) is not None
    }
    return TransferSpec(
        task=task,
        root=Path(part.path("root", required=True) or ""),
        networks=part.texts("networks"),
        sources=part.texts("from", (*train, *none)),
        seeds=part.wholes("seeds", seeds) or (),
        recipe=changes,
        lr_grid=part.numbers("lr_grid", ()) or (),
        sample=part.flag("sample"),
        **optional,
    )


def _saliency(top: Section) -> SaliencySpec | None:
    part = top.section("saliency", required=False)
    if part is None:
        return None
    with within("saliency"):
        settings = part.texts("settings")
        if len(settings) != 2:
            raise ConfigError(f"settings: {len(settings)} are given. Give two to compare.")
        spec = SaliencySpec(
            network=part.text("network"),
            settings=(settings[0], settings[1]),
            seed=part.whole("seed", required=True) or 0,
            n=part.whole("n", 24) or 0,
            choose=part.text("choose", "most-dropped"),
            images=part.texts("images", ()),
        )
        part.end()
    return spec
