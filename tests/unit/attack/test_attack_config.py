# SPDX-License-Identifier: Apache-2.0
"""Settings of an attack: what they may be called, and what is refused."""

from __future__ import annotations

import pytest

from veilset.attack.config import (
    ATTACKS,
    STANDARD,
    AttackConfig,
    Setting,
    choose_attacks,
    method_setting,
    release_setting,
)
from veilset.attack.looking import view_slugs
from veilset.errors import ConfigError
from veilset.plugins import make_obfuscator


def test_every_standard_setting_can_be_made() -> None:
    config = AttackConfig()
    assert [each.name for each in config.attacked] == list(STANDARD)
    assert [each.name for each in config.shown] == ["clear", "filled", *STANDARD]
    for each in config.attacked:
        make_obfuscator(each.method, each.parameters)
    slugs = view_slugs(config)
    assert len(set(slugs.values())) == len(slugs)
    assert all("/" not in slug and not slug.startswith(".") for slug in slugs.values())


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "-x", "=1+1", "a\nb", "x" * 81])
def test_names_that_are_no_folders_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot be the name of a setting"):
        Setting(name, method="veil")


@pytest.mark.parametrize("seed", [-1, 2**63, 10**40])
def test_a_seed_that_no_generator_takes_is_refused(seed: int) -> None:
    with pytest.raises(ConfigError, match=f"The seed {seed} cannot be used"):
        AttackConfig(seed=seed)


@pytest.mark.parametrize("threads", [0, 1025, 10**12])
def test_threads_that_no_machine_has_are_refused(threads: int) -> None:
    with pytest.raises(ConfigError, match=f"threads is {threads}"):
        AttackConfig(threads=threads)


@pytest.mark.parametrize("name", ["clear", "filled"])
def test_names_that_are_taken(name: str) -> None:
    with pytest.raises(ConfigError, match="is taken"):
        release_setting(f"{name}=out/x")
    with pytest.raises(ConfigError, match="is taken"):
        Setting(name, method="veil")


def test_two_settings_never_share_a_folder() -> None:
    for one, other in (("veil", "veil"), ("veil:cells=4", "veil+cells=4"), ("a b", "a,b")):
        with pytest.raises(ConfigError, match="Two settings have the name"):
            AttackConfig(settings=(Setting(one, method="veil"), Setting(other, method="veil")))


def test_no_release_can_take_the_place_of_what_is_restored() -> None:
    # The restored faces of swirl are kept as "swirl+restored".
    with pytest.raises(ConfigError, match="restored"):
        AttackConfig(settings=(method_setting("swirl"), release_setting("swirl+restored=out")))


@pytest.mark.parametrize("text", ["blur:strength", "blur:=2", "blur:strength=", "blur: = "])
def test_parameters_are_pairs(text: str) -> None:
    with pytest.raises(ConfigError, match="not of the form KEY=VALUE"):
        method_setting(text)
    with pytest.raises(ConfigError, match="gives 'cells' twice"):
        method_setting("veil:cells=1,cells=2")


@pytest.mark.parametrize(
    ("model", "shown"),
    [
        ("out/a b (1).onnx", "a b -1-.onnx"),
        ("\u00fcn\u00ef.onnx", "-n-.onnx"),
        ("/deep/" + "x" * 90, "x" * 63),
        ("/", ""),
        ("/of cats, dogs, and men/generator.onnx", "generator.onnx"),
        ("a,b.onnx", "a,b.onnx"),
    ],
)
def test_a_model_may_be_called_anything(model: str, shown: str) -> None:
    setting = method_setting(f"synthesize:model={model}")
    assert setting.name == f"synthesize:model={shown}"
    assert setting.parameters == {"model": model}


def test_other_parameters_may_follow_a_comma_in_a_value() -> None:
    found = method_setting("synthesize:model=a,b/c.onnx,feather=0.1").parameters
    assert found == {"model": "a,b/c.onnx", "feather": "0.1"}


@pytest.mark.parametrize("text", ["", " ", ":cells=3"])
def test_a_method_has_a_name(text: str) -> None:
    with pytest.raises(ConfigError, match=r"--method '.*' is not of the form NAME"):
        method_setting(text)


@pytest.mark.parametrize("text", ["", "=", "name=", "=place", "name"])
def test_releases_are_pairs(text: str) -> None:
    with pytest.raises(ConfigError, match="not of the form NAME=PLACE"):
        release_setting(text)


def test_a_place_may_hold_an_equals_sign() -> None:
    assert release_setting("a=s3://b/c=d").release == "s3://b/c=d"


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"attacks": ()}, "No attack is named"),
        ({"attacks": ("guess",)}, "There is no attack 'guess'"),
        ({"gallery_share": 0.0}, "gallery_share is 0.0"),
        ({"gallery_share": float("nan")}, "gallery_share is nan"),
        ({"min_score": 1.1}, "min_score"),
        ({"face_min_score": -0.1}, "face_min_score"),
        ({"least_side_px": 0.0}, "least_side_px"),
        ({"chip_px": 16}, "chip_px is 16"),
        ({"chip_px": 40}, "multiple of 16"),
        ({"n_draws": 99}, "n_draws is 99"),
        ({"threads": 0}, "threads"),
        ({"epochs": -1}, "epochs"),
        ({"shard_size": 0}, "shard_size"),
    ],
)
def test_values_that_cannot_be_used(values: dict[str, object], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        AttackConfig(**values)  # type: ignore[arg-type]  # wrong on purpose


def test_attacks_are_chosen_by_name() -> None:
    assert choose_attacks([], []) == tuple(ATTACKS)
    assert choose_attacks(["scene", "recognise"], []) == ("recognise", "scene")
    assert "assessor" not in choose_attacks([], ["assessor"])
    with pytest.raises(ConfigError, match="no attack 'x'"):
        choose_attacks([], ["x"])
    with pytest.raises(ConfigError, match="No attack is named"):
        AttackConfig(attacks=choose_attacks(["scene"], ["scene"]))
