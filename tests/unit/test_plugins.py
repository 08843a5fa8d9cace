# SPDX-License-Identifier: Apache-2.0
"""The registry: built-ins come through the same door as everything else."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
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
    reach: float = 0.5


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
        ({"cells": 8.0}, {"cells": 8}),
        ({"cells": np.int64(8)}, {"cells": 8}),
        ({"reach": 1}, {"reach": 1.0}),
        ({"reach": "0.25"}, {"reach": 0.25}),
        ({"reach": np.float32(0.25)}, {"reach": 0.25}),
        ({"soft": False}, {"soft": False}),
        ({"soft": "false"}, {"soft": False}),
        ({"soft": "TRUE"}, {"soft": True}),
        ({"colour": "#112233"}, {"colour": "#112233"}),
    ],
)
def test_parameters_are_converted(given: dict[str, Any], expected: dict[str, object]) -> None:
    found = plugins._converted("method 'x'", NoObfuscator, given)
    assert found == expected
    assert [type(each) for each in found.values()] == [type(each) for each in expected.values()]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"cels": 8}, "has no parameter 'cels'. It takes: cells, colour, reach, soft"),
        ({"cells": "many"}, "'cells' of the method 'x' is 'many'. Give a whole number"),
        ({"cells": "6.9"}, "'cells' of the method 'x' is '6.9'. Give a whole number"),
        ({"cells": 6.9}, "'cells' of the method 'x' is 6.9. Give a whole number"),
        ({"cells": np.inf}, "'cells' of the method 'x' is inf. Give a whole number"),
        ({"cells": True}, "'cells' of the method 'x' is True. Give a whole number"),
        ({"cells": None}, "'cells' of the method 'x' is None. Give a whole number"),
        ({"cells": [6]}, "is .6.. Give a whole number"),
        ({"reach": True}, "'reach' of the method 'x' is True. Give a number"),
        ({"reach": np.True_}, "'reach' of the method 'x' is .*True.*. Give a number"),
        ({"reach": np.nan}, "'reach' of the method 'x' is nan. Give a number"),
        ({"reach": "nan"}, "'reach' of the method 'x' is 'nan'. Give a number"),
        ({"reach": 10**400}, "Give a number"),
        ({"reach": None}, "'reach' of the method 'x' is None. Give a number"),
        ({"soft": "perhaps"}, "'soft' of the method 'x' is 'perhaps'. Give true or false"),
        ({"soft": 1}, "'soft' of the method 'x' is 1. Give true or false"),
        ({"soft": None}, "'soft' of the method 'x' is None. Give true or false"),
    ],
)
def test_bad_parameters_are_named(given: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        plugins._converted("method 'x'", NoObfuscator, given)


def test_a_built_in_method_takes_no_part_of_a_cell() -> None:
    with pytest.raises(ConfigError, match=r"'cells' of the method 'veil' is 6\.9\. Give a whole"):
        plugins.make_obfuscator("veil", {"cells": 6.9})
