# SPDX-License-Identifier: Apache-2.0
"""Networks of a study are known before the first is trained: name, arguments, size of pictures."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from tests.study.drawn_study import TEXT, draw_study
from veilset.cli.app import app
from veilset.errors import ConfigError, DatasetError, MissingExtraError
from veilset.study.network_checks import check_networks
from veilset.study.networks import check_name
from veilset.study.stage import plan_study, run_study
from veilset.study.yaml_file import example, read_study

NETWORKS = "networks: [resnet18, {name: alexnet, lr: 0.01}]"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_study(tmp_path_factory.mktemp("study"))


def with_networks(drawn: Path, networks: str, name: str = "mine.yaml") -> Path:
    path = drawn.with_name(name)
    path.write_text(TEXT.replace(NETWORKS, f"networks: [{networks}]"))
    return path


def test_every_misspelt_name_is_told_with_its_place_before_anything_is_written(
    drawn: Path,
) -> None:
    path = with_networks(
        drawn, "resnet18, resnet81, {name: tiny, source: timm, model: mobilenetv3_small_05}, zzz"
    )
    for command in ("plan", "run"):
        done = CliRunner().invoke(app, ["study", command, str(path)])
        assert done.exit_code == 1
        said = str(done.exception)
        assert said.startswith("mine.yaml, networks[1]: torchvision knows no network 'resnet81'. ")
        assert "Did you mean 'resnet18'" in said
        assert "networks[2]: timm knows no network 'mobilenetv3_small_05'" in said
        assert "'mobilenetv3_small_050'" in said
        assert "networks[3]: torchvision knows no network 'zzz'. Its names are given by" in said
    assert not path.with_name("mine.study").exists()


def test_a_name_of_the_other_library_is_told(drawn: Path) -> None:
    path = with_networks(drawn, "convnext_atto")
    with pytest.raises(ConfigError, match=r"'convnext_atto'\. timm does: give source: timm"):
        plan_study(path)


def test_arguments_and_sizes_are_tried_without_training(drawn: Path) -> None:
    path = with_networks(drawn, "{name: resnet18, arguments: {layer: 3}}")
    with pytest.raises(ConfigError, match=r"mine.yaml, networks\[0\]: .*'layer'.*'arguments'"):
        plan_study(path)
    path = with_networks(drawn, "squeezenet1_1, alexnet")
    path.write_text(path.read_text().replace("epochs: 1,", "epochs: 1, train_size: 48,"))
    with pytest.raises(ConfigError, match=r"networks\[1\]: alexnet cannot take pictures of 48"):
        run_study(path)
    # timm's transformers are made for one size.
    path = with_networks(drawn, "{name: vit, source: timm, model: vit_tiny_patch16_224}")
    with pytest.raises(ConfigError, match=r"vit cannot take pictures of 64 x 64 .* eval_crop"):
        plan_study(path)
    path = with_networks(
        drawn,
        "{name: vit, source: timm, model: vit_tiny_patch16_224, arguments: {img_size: 64}}",
        "vit.yaml",
    )
    assert len(plan_study(path).plan.runs) == 4


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ("act_layer: zzz", "cannot be built: KeyError('zzz'). Mend its 'arguments'."),
        ("block: zzz", "cannot be built: AttributeError("),
        ("output_stride: 3", "cannot be built: AssertionError()"),
        ("features_only: true", "gives something else than a score for each class."),
    ],
)
def test_whatever_a_library_raises_is_a_sentence(
    drawn: Path, arguments: str, complaint: str
) -> None:
    network = f"{{name: mine, source: timm, model: resnet18, arguments: {{{arguments}}}}}"
    with pytest.raises(ConfigError) as found:
        plan_study(with_networks(drawn, network))
    assert str(found.value).startswith("mine.yaml, networks[0]: The network 'mine' ")
    assert complaint in str(found.value)
    assert "cannot take pictures" not in str(found.value)


def test_a_file_of_names_is_read_before_anything_trains(drawn: Path) -> None:
    path = with_networks(drawn, "resnet18", "named.yaml")
    path.write_text(path.read_text().replace("faces}", "faces, names: names.json}"))
    with pytest.raises(DatasetError, match=r"names\.json is no JSON map"):
        plan_study(path)


def test_the_least_size_of_a_growing_recipe_counts(drawn: Path) -> None:
    config = read_study(with_networks(drawn, "alexnet"))
    recipe = replace(
        config.recipe, first_size=32, train_size=96, eval_crop=96, eval_resize=96, epochs=4,
        grow_from=0.3, grow_to=0.8,
    )  # fmt: skip
    with pytest.raises(ConfigError, match="pictures of 32 x 32 pixels, as first_size"):
        check_networks(replace(config, recipe=recipe), "x.yaml")
    check_networks(replace(config, recipe=replace(recipe, first_size=64)), "x.yaml")


def test_weights_that_nobody_publishes_are_told(drawn: Path) -> None:
    path = with_networks(
        drawn, "{name: tiny, source: timm, model: mobilenetv3_small_050, init: weights}"
    )
    with pytest.raises(ConfigError, match=r"networks\[0\]: The weights of tiny have to lie in a"):
        plan_study(path)


def test_what_is_not_installed_is_told_with_what_installs_it(
    drawn: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingExtraError, match=r"timm is not installed.*pip install 'veilset\[st"):
        plan_study(drawn)


@pytest.mark.parametrize("name", ["ilsvrc", "ilsvrc-pretrained", "imagenette"])
def test_the_examples_name_networks_that_there_are(name: str, tmp_path: Path) -> None:
    path = tmp_path / "study.yaml"
    path.write_text(example(name))
    networks = read_study(path).networks
    for each in networks:
        check_name(each)
    assert len(networks) == {"ilsvrc": 15, "ilsvrc-pretrained": 24, "imagenette": 3}[name]


def test_chance_is_left_as_it_was(drawn: Path) -> None:
    before = torch.random.get_rng_state()
    check_networks(read_study(drawn), drawn.name)
    assert torch.equal(torch.random.get_rng_state(), before)
