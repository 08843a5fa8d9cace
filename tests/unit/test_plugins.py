# SPDX-License-Identifier: Apache-2.0
"""The registry: built-ins come through the same door as everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

import pytest

from veilset import plugins
from veilset.errors import ConfigError, PluginError, UnknownPluginError
from veilset.protocols import DetectorSettings

Announce = Callable[[str, str, str], None]


@pytest.fixture
def announce(monkeypatch: pytest.MonkeyPatch) -> Iterator[Announce]:
    """Announce plugins (name, target, group) in the place of what packages do, for one test."""
    points: list[EntryPoint] = []
    monkeypatch.setattr(
        plugins, "entry_points", lambda group: [p for p in points if p.group == group]
    )
    plugins._announced.cache_clear()
    yield lambda name, target, group: points.append(EntryPoint(name, target, group))
    plugins._announced.cache_clear()


@dataclass(frozen=True)
class NoObfuscator:
    cells: int = 6
    soft: bool = True
    colour: str = "red"


def test_the_built_ins_are_announced_by_the_package() -> None:
    names = {info.name for info in plugins.list_plugins("obfuscator")}
    assert {"veil", "blur", "blur-paper", "blur-released", "mosaic", "synthesize"} <= names
    assert all(info.package.startswith("veilset ") for info in plugins.list_plugins("engine"))
    kinds = [info.kind for info in plugins.list_plugins()]
    assert kinds == sorted(kinds)


def test_unknown_name_offers_a_near_one() -> None:
    with pytest.raises(UnknownPluginError, match=r"named 'mosaik'.*Did you mean 'mosaic'\?"):
        plugins.load_factory("obfuscator", "mosaik")


def test_two_packages_with_one_name_are_refused(announce: Announce) -> None:
    announce("twice", "one:Thing", "veilset.obfuscators")
    announce("twice", "two:Thing", "veilset.obfuscators")
    with pytest.raises(PluginError, match="Uninstall one of them"):
        plugins.list_plugins("obfuscator")


def test_a_plugin_that_cannot_be_imported_is_named(announce: Announce) -> None:
    announce("gone", "no_such_module:Thing", "veilset.engines")
    with pytest.raises(PluginError, match=r"'gone'.*cannot be loaded"):
        plugins.load_factory("engine", "gone")


def test_an_object_that_breaks_its_protocol_is_refused(announce: Announce) -> None:
    announce("bad", f"{__name__}:NoObfuscator", "veilset.obfuscators")
    announce("bad", f"{__name__}:NoDetector", "veilset.detectors")
    with pytest.raises(PluginError, match="does not give an Obfuscator"):
        plugins.make_obfuscator("bad", {})
    with pytest.raises(PluginError, match="does not give a Detector"):
        plugins.make_detector("bad", DetectorSettings())


def NoDetector(settings: DetectorSettings) -> object:
    return settings


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"cells": "8"}, {"cells": 8}),
        ({"cells": 8}, {"cells": 8}),
        ({"soft": "false"}, {"soft": False}),
        ({"soft": "TRUE"}, {"soft": True}),
        ({"colour": "#112233"}, {"colour": "#112233"}),
    ],
)
def test_parameters_are_converted(given: dict[str, Any], expected: dict[str, object]) -> None:
    assert plugins._converted("method 'x'", NoObfuscator, given) == expected


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"cels": 8}, "has no parameter 'cels'. It takes: cells, colour, soft"),
        ({"cells": "many"}, "'cells' of the method 'x' is 'many'. Give a int"),
        ({"soft": "perhaps"}, "'soft' of the method 'x' is 'perhaps'. Give a bool"),
    ],
)
def test_bad_parameters_are_named(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        plugins._converted("method 'x'", NoObfuscator, given)
