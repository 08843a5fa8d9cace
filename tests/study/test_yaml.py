# SPDX-License-Identifier: Apache-2.0
"""The YAML file of a study: every key arrives, and what cannot be meant is refused."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import fields, replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from tests.conftest import REPOSITORY
from veilset.errors import ConfigError
from veilset.study.config import (
    DataSpec,
    NetworkSpec,
    ObjectsSpec,
    SaliencySpec,
    SettingSpec,
    StudyConfig,
    TransferSpec,
)
from veilset.study.plan import make_plan
from veilset.study.recipe import FAST, PAPER, SMALL, Recipe
from veilset.study.yaml_file import EXAMPLES, example, read_study

BASE = """\
format: veilset-study/1
settings:
  original: {root: photos}
  veil: {root: veiled}
networks: [resnet18, resnet50]
"""

WHOLE = """\
format: veilset-study/1
name: All of it
out: results
data:
  train: part/train
  val: part/val
  classes: classes.json
  names: names.json
  annotations: faces
  min_score: 0.5
  objects: {format: coco, path: objects.json, names: map.json}
  images: shared
settings:
  plain: {root: /data/plain}
  layered: {layer: layer.arrow, of: plain}
  fly: {method: mosaic, set: {cells: 4}, of: plain}
reference: plain
networks:
  - alexnet
  - {name: small, source: timm, model: resnet18, arguments: {channels: [8, 16]}, lr: 0.5,
     batch_size: 32, init: weights}
init: random
weights: weights
seeds: [0, 4]
train: [plain, fly]
evaluate: {fly: [fly, plain]}
recipe: {base: small, epochs: 3, crop_scale: [0.5, 1]}
threads: 2
workers: 3
cache_mb: 0
scores: top
checkpoint_every_s: 5
sem_ddof: 2
bootstrap: 1000
area_bins: [0, 0.5, 1]
object_bins: [0, 0.25, 1]
roles: {veil: fly}
transfer:
  - {task: sun397, root: SUN, networks: [small], from: [plain, none], seeds: [4],
     recipe: {epochs: 2}, lr_grid: [0.1, 1], sample: true, partition: 2, n_train: 7}
saliency: {network: small, settings: [plain, fly], seed: 4, n: 2, choose: list, images: [a.png]}
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "study.yaml"
    path.write_text(text)
    return path


def test_every_key_arrives(tmp_path: Path) -> None:
    config = read_study(written(tmp_path, WHOLE))
    settings = (
        SettingSpec("plain", root=Path("/data/plain"), of="original"),
        SettingSpec("layered", layer=tmp_path / "layer.arrow", of="plain"),
        SettingSpec("fly", method="mosaic", parameters={"cells": 4}, of="plain"),
    )
    small = NetworkSpec("small", "timm", "resnet18", {"channels": [8, 16]}, 0.5, 32, "weights")
    assert config == StudyConfig(
        name="All of it",
        out=tmp_path / "results",
        data=DataSpec(
            "part/train", "part/val", tmp_path / "classes.json", tmp_path / "names.json",
            tmp_path / "faces", 0.5,
            ObjectsSpec("coco", tmp_path / "objects.json", tmp_path / "map.json"), "shared",
        ),
        settings={each.name: each for each in settings},
        networks=(NetworkSpec("alexnet"), small),
        reference="plain",
        weights=tmp_path / "weights",
        seeds=(0, 4),
        train=("plain", "fly"),
        evaluate={"plain": ("plain",), "fly": ("fly", "plain")},
        recipe=replace(SMALL, epochs=3, crop_scale=(0.5, 1.0)),
        threads=2,
        workers=3,
        cache_mb=0,
        scores="top",
        checkpoint_every_s=5.0,
        sem_ddof=2,
        bootstrap=1000,
        area_bins=(0.0, 0.5, 1.0),
        object_bins=(0.0, 0.25, 1.0),
        roles={"veil": "fly"},
        transfer=(
            TransferSpec(
                "sun397", tmp_path / "SUN", ("small",), ("plain", "none"), (4,), {"epochs": 2},
                (0.1, 1.0), True, 2, 7,
            ),
        ),
        saliency=SaliencySpec("small", ("plain", "fly"), 4, 2, "list", ("a.png",)),
    )  # fmt: skip
    # A key that is forgotten above would pass with its default.
    asked = set(yaml.safe_load(WHOLE))
    assert asked - {"format"} == {each.name for each in fields(StudyConfig)}


def test_defaults_of_a_short_file(tmp_path: Path) -> None:
    config = read_study(written(tmp_path, BASE))
    assert (config.name, config.out) == ("study", tmp_path / "study.study")
    assert (config.seeds, config.train) == ((1, 2, 3), ("original", "veil"))
    assert config.evaluate == {"original": ("original",), "veil": ("veil",)}
    assert config.roles == {"veil": "veil"}
    assert config.recipe == PAPER
    assert read_study(tmp_path / "study.yaml", recipe="fast").recipe == FAST


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("sedes: [1]", "study.yaml: unknown key 'sedes'. Did you mean 'seeds'?"),
        ("zzz: 1", "study.yaml: unknown key 'zzz'. Known: "),
        ("seeds: [1, 1]", "seeds: 1 is there twice. Remove one."),
        ("seeds: [-1]", "seeds: -1 is below 0."),
        ("seeds: []", "seeds: the list is empty."),
        ("seeds: 1", "seeds: 1 is not a list of whole numbers."),
        ("seeds: [true]", "is not a list of whole numbers."),
        ("reference: blurred", "reference: there is no setting 'blurred'. The study has: "),
        ("train: [blur]", "train: there is no setting 'blur'."),
        ("evaluate: {blur: [veil]}", "evaluate: there is no setting 'blur'."),
        ("train: [veil]\nevaluate: {original: [veil]}", "evaluate.original: nothing is trained"),
        ("evaluate: {veil: [blur]}", "evaluate.veil: there is no setting 'blur'."),
        ("init: published", "init: 'published' is not known. Choose: random, weights."),
        ("scores: some", "scores: 'some' is not known."),
        ("threads: 0", "threads: 0 is below 1."),
        ("threads: 1025", "threads: 1025 is above 1024."),
        ("workers: 1025", "workers: 1025 is above 1024."),
        ("workers: 1.5", "workers: 1.5 is not a whole number."),
        ("bootstrap: 10", "bootstrap: 10 is below 1000."),
        ("sem_ddof: 3", "sem_ddof: 3 is neither 1 nor 2."),
        ("checkpoint_every_s: 0", "checkpoint_every_s: 0.0 is not above 0."),
        ("checkpoint_every_s: 1e3", "write a point in it, as 1.0e-4."),
        ("area_bins: [0, 0.5]", "area_bins: [0.0, 0.5] does not rise from 0 to 1."),
        ("object_bins: [0, 2, 1]", "object_bins: [0.0, 2.0, 1.0] does not rise from 0 to 1."),
        ("roles: {viel: veil}", "roles: 'viel' is not known."),
        ("roles: {veil: no}", "roles.veil: False is not a text."),
        ("recipe: papr", "No recipe is named 'papr'."),
        ("recipe: {base: small, epoch: 1}", "recipe: A recipe has no 'epoch'. Did you mean"),
        ("recipe: {epochs: 0}", "recipe.epochs: 0 is not above 0."),
        ("recipe: {epochs: 1.5}", "recipe.epochs: 1.5 is not a whole number."),
        ("recipe: {mean: [0.1, 0.2]}", "recipe.mean: [0.1, 0.2] is not a list of 3 numbers."),
        ("recipe: {train_size: 96, first_size: 128}", "recipe.first_size: 128 is above"),
        ("data: {min_score: 2}", "data.min_score: 2.0 is not in [0, 1]."),
        ("data: {images: some}", "data.images: 'some' is not known."),
        ("data: {train: ../x}", "data.train: '../x' is not a folder within a setting."),
        ("data: {val: train}", "data.val: 'train' is what networks are trained on."),
        ("data: {objects: {format: voc}}", "data.objects.path: it is missing. Give it."),
        ("saliency: {network: x}", "saliency.settings: it is missing."),
        ("transfer: [{task: cifar}]", "transfer[0].root: it is missing."),
        (
            "transfer: [{task: cifar10, root: x, networks: [vgg]}]",
            "networks: there is no network 'vgg'. The study has: resnet18, resnet50.",
        ),
        (
            "transfer: [{task: cifar10, root: x, networks: [resnet18], seeds: [9]}]",
            "transfer[0].seeds: 9 is not among the study's seeds.",
        ),
        (
            "transfer: [{task: voc-detection, root: x, networks: [resnet18], from: [none]}]",
            "transfer[0].from: voc-detection starts from trained weights only.",
        ),
        (
            "transfer: [{task: sun397, root: x, networks: [resnet18], partition: 0}]",
            "transfer[0].partition: 0 is not in 1 to 10",
        ),
        (
            "train: [original]\nsaliency: {network: resnet18, settings: [original, veil], seed: 1}",
            "saliency.settings: nothing is trained on 'veil'. Add it to train.",
        ),
        (
            "train: [veil]\n"
            "transfer: [{task: cifar10, root: x, networks: [resnet18], from: [original]}]",
            "transfer[0].from: nothing is trained on 'original'. Add it to train.",
        ),
        ("settings: {}", "the key 'settings' is there twice. Remove one."),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, line: str, complaint: str) -> None:
    with pytest.raises(ConfigError) as found:
        read_study(written(tmp_path, f"{BASE}{line}\n"))
    assert str(found.value).startswith("study.yaml")
    assert complaint in str(found.value)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("veilset-study/1", "veilset-study/9", "format: 'veilset-study/9' is not known."),
        ("  veil: {root: veiled}\n", "", "settings: a study compares at least two."),
        ("{root: veiled}", "{layer: a, root: b}", "settings.veil.root: give exactly one of root"),
        ("{root: veiled}", "{}", "settings.veil.root: give exactly one of root"),
        ("{root: veiled}", "{layer: a, of: b}", "settings.veil.of: there is no setting 'b'."),
        ("{root: veiled}", "{method: veil}", "settings.veil: method needs data.annotations"),
        ("{root: veiled}", "{root: a, rot: b}", "settings.veil: unknown key 'rot'."),
        ("veil:", "Veil.1:", "settings.Veil.1.name: 'Veil.1' cannot be a name."),
        ("resnet50]", "resnet18]", "networks: 'resnet18' is there twice."),
        ("resnet50]", "{lr: 1.0}]", "networks[1].name: it is missing."),
        ("resnet50]", "{name: x, lr: -1}]", "networks[1].lr: -1.0 is not above 0. Give a learning"),
        ("resnet50]", "{name: x, source: keras}]", "networks[1].source: 'keras' is not known."),
        ("resnet50]", "5]", "networks[1]: 5 is no mapping of keys to values."),
        ("networks:", "networks: [", "it is not valid YAML"),
        ("resnet50]", "? [a] : b]", "line 5: the key ['a'] is no text. Put it in quotes."),
        (BASE, "- 1", "it holds no mapping of keys to values."),
        (BASE, "? [1, 2]\n: x\n", "line 1: the key [1, 2] is no text."),
        (BASE, "? {a: b}\n: x\n", "line 1: the key {'a': 'b'} is no text."),
        (BASE, "&a {b: *a}", "line 1: it is not valid YAML (found unconstructable recursive node)"),
        (BASE, "a: " + "[" * 5000, "nested too deeply"),
        (BASE, "a: !!bool maybe", "a value is not what its tag says"),
        (BASE, "a: !!int ''", "a value is not what its tag says"),
        (BASE, "a: 2026-99-99", "a value is not what its tag says"),
        (BASE, "a: 1" + "0" * 5000, "a value is not what its tag says"),
        (BASE, "a: 0x" + "f" * 5000, "line 1: a whole number is out of range."),
        (BASE, "a: 9223372036854775808", "line 1: a whole number is out of range."),
        (BASE, 'a: "b\\0c"', "line 1: a text holds a character that no file can hold."),
        (BASE, 'a: "\\ud800"', "line 1: a text holds a character that no file can hold."),
        ("{root: veiled}", "{root: ~nobody-of-that-name/x}", "in the folder of nobody known here"),
        ("resnet50]", "{name: x, arguments: {a: 2026-01-01}}]", "arguments.a: datetime.date("),
        (
            "resnet50]",
            "{name: x, arguments: {a: [.nan]}}]",
            "arguments.a: [nan] is not a text, a n",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_within(
    tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    with pytest.raises(ConfigError) as found:
        read_study(written(tmp_path, BASE.replace(old, new)))
    assert str(found.value).startswith("study.yaml")
    assert complaint in str(found.value)


def test_aliases_of_aliases_do_not_fill_the_memory(tmp_path: Path) -> None:
    lines = ["a0: &a0 x"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(ConfigError, match="its aliases stand for too many values"):
        read_study(written(tmp_path, "\n".join(lines)))


ODD: list[Any] = [
    None, True, 0, -1, 2**62, 0.5, -1.0, float("inf"), float("nan"), "", " ", "x", "..", "/", "~",
    "a/b", "none", "1e3", "é\t", b"bytes", date(2026, 1, 1), [], [[]], [1, "x"], ["x", "x"], {},
    {"x": 1}, {"x": {"y": []}}, "original", "plain", "veil", "small", "resnet18", "auto",
]  # fmt: skip
VALUES = st.sampled_from(ODD) | st.recursive(
    st.sampled_from(ODD) | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def places_in(value: object, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield place
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(
        value, list
    ) else ()  # fmt: skip
    for key, each in parts:
        yield from places_in(each, (*place, key))


@given(
    st.sampled_from([place for place in places_in(yaml.safe_load(WHOLE)) if place]),
    VALUES,
    st.sampled_from(["value", "key", "gone"]),
)
def test_a_file_with_one_odd_value_is_read_or_refused_in_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, place: tuple[Any, ...], value: Any, what: str
) -> None:
    document = yaml.safe_load(WHOLE)
    holder = document
    for key in place[:-1]:
        holder = holder[key]
    if what == "value":
        holder[place[-1]] = value
    elif what == "gone":
        del holder[place[-1]]
    elif isinstance(holder, dict) and not isinstance(value, list | dict):
        holder[value] = holder.pop(place[-1])
    read_or_refused(tmp_path_factory, yaml.dump(document, allow_unicode=True).encode())


@given(
    st.binary(max_size=60)
    | st.text(alphabet="ab: -[]{}&*!?|>%@'\"#,\n\t0.~<=\\é", max_size=60).map(str.encode)
    | VALUES.map(lambda value: yaml.dump(value).encode())
)
def test_any_file_is_read_or_refused_in_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    read_or_refused(tmp_path_factory, data)
    read_or_refused(tmp_path_factory, BASE.encode() + b"name: " + data)


def read_or_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.getbasetemp() / "odd.yaml"
    path.write_bytes(data)
    try:
        config = read_study(path)
    except ConfigError as error:
        said = str(error)
    else:
        plan = make_plan(config).as_json()
        json.dumps([plan, [dict(each.arguments) for each in config.networks]], allow_nan=False)
        assert "\0" not in str(config.out)
        return
    assert said.startswith("odd.yaml")
    assert said.encode()


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_study(tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("name", "n_runs", "n_evaluations"),
    [("ilsvrc", 135, 180), ("ilsvrc-pretrained", 24, 144), ("imagenette", 45, 45)],
)
def test_examples_are_the_studies_they_name(
    tmp_path: Path, name: str, n_runs: int, n_evaluations: int
) -> None:
    plan = make_plan(read_study(written(tmp_path, example(name))))
    assert len(plan.runs) == n_runs
    assert sum(len(run.evaluate) for run in plan.runs) == n_evaluations


def test_no_example_is_forgotten() -> None:
    with pytest.raises(ConfigError, match="Choose: ilsvrc, ilsvrc-pretrained, imagenette"):
        example("cifar")
    assert len(EXAMPLES) == 3


def test_every_key_is_documented() -> None:
    page = (REPOSITORY / "docs" / "study.md").read_text()
    keys = yaml.safe_load(WHOLE)
    names = {*keys, *(f"data.{key}" for key in keys["data"]), *(f.name for f in fields(Recipe))}
    for name in names - {"name", "data"}:
        assert f"`{name}`" in page, name
    for key in (*keys["transfer"][0], *keys["saliency"], *keys["networks"][1]):
        assert re.search(rf"[`{{ ,]{key}[,:}}]", page), key
