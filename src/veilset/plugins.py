# SPDX-License-Identifier: Apache-2.0
"""Names to factories, through entry points. The built-ins use the same door.

A package announces a plugin in its own ``pyproject.toml``::

    [project.entry-points."veilset.obfuscators"]
    my-method = "my_package.module:MyMethod"

The callable is given its settings as keywords and returns an object of the matching
protocol of ``veilset.protocols``. Nothing is imported before it is asked for by name.
"""

from __future__ import annotations

import difflib
import operator
from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from math import isnan
from numbers import Real
from typing import Any

from veilset.errors import ConfigError, PluginError, UnknownPluginError
from veilset.protocols import (
    Classifier,
    Detector,
    DetectorSettings,
    Engine,
    EngineSettings,
    FaceEstimator,
    Obfuscator,
    Recogniser,
    RecogniserSettings,
    RuntimeSettings,
)

GROUPS: Mapping[str, str] = {
    "detector": "veilset.detectors",
    "obfuscator": "veilset.obfuscators",
    "engine": "veilset.engines",
    "face-estimator": "veilset.face_estimators",
    "classifier": "veilset.classifiers",
    "recogniser": "veilset.recognisers",
}


@dataclass(frozen=True, slots=True)
class PluginInfo:
    """One announced plugin, not yet imported.

    Attributes:
        kind: One of ``GROUPS``.
        name: The name that the command line takes.
        package: Distribution that brings it, and its version.
        target: ``module:attribute`` of the factory.
    """

    kind: str
    name: str
    package: str
    target: str


@cache
def _announced(kind: str) -> Mapping[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    for point in entry_points(group=GROUPS[kind]):
        other = found.get(point.name)
        if other is not None and other.value != point.value:
            raise PluginError(
                f"Two packages bring a {kind} named {point.name!r}: {other.value} and "
                f"{point.value}. Uninstall one of them."
            )
        found[point.name] = point
    return found


def list_plugins(kind: str | None = None) -> list[PluginInfo]:
    """List the announced plugins, sorted by kind and name, importing none of them.

    Args:
        kind: One of ``GROUPS``; None for all.
    """
    kinds = [kind] if kind else sorted(GROUPS)
    infos = []
    for each in kinds:
        for name, point in sorted(_announced(each).items()):
            package = f"{point.dist.name} {point.dist.version}" if point.dist else "unknown"
            infos.append(PluginInfo(each, name, package, point.value))
    return infos


def load_factory(kind: str, name: str) -> Any:
    """Import the factory of a plugin.

    Raises:
        UnknownPluginError: If no plugin of that kind has the name; near names are offered.
        PluginError: If its module cannot be imported.
    """
    known = _announced(kind)
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise UnknownPluginError(
            f"No {kind} is named {name!r}. Known: {', '.join(sorted(known)) or 'none'}.{hint}"
        )
    try:
        return known[name].load()
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"The {kind} {name!r} ({known[name].value}) cannot be loaded: {error}. "
            "Reinstall the package that brings it."
        ) from error


def make_detector(name: str, settings: DetectorSettings) -> Detector:
    """Build a detector by name.

    Raises:
        UnknownPluginError, PluginError: As ``load_factory``, or if it is no detector.
        ConfigError: If the detector cannot honour the settings.
    """
    detector = load_factory("detector", name)(settings)
    if not isinstance(detector, Detector):
        raise PluginError(f"The plugin {name!r} does not give a Detector. Tell its author.")
    return detector


def make_face_estimator(name: str, settings: RuntimeSettings) -> FaceEstimator:
    """Build a face estimator by name.

    Raises:
        UnknownPluginError, PluginError: As ``load_factory``, or if it is no face estimator.
        ConfigError: If it cannot honour the settings.
    """
    estimator = load_factory("face-estimator", name)(settings)
    if not isinstance(estimator, FaceEstimator):
        raise PluginError(f"The plugin {name!r} does not give a FaceEstimator. Tell its author.")
    return estimator


def make_classifier(name: str, settings: RuntimeSettings) -> Classifier:
    """Build a classifier of images by name.

    Raises:
        UnknownPluginError, PluginError: As ``load_factory``, or if it is no classifier.
        ConfigError: If it cannot honour the settings.
    """
    classifier = load_factory("classifier", name)(settings)
    if not isinstance(classifier, Classifier):
        raise PluginError(f"The plugin {name!r} does not give a Classifier. Tell its author.")
    return classifier


def make_recogniser(name: str, settings: RecogniserSettings) -> Recogniser:
    """Build a recogniser by name.

    Raises:
        UnknownPluginError, PluginError: As ``load_factory``, or if it is no recogniser.
        ConfigError: If it cannot honour the settings.
    """
    recogniser = load_factory("recogniser", name)(settings)
    if not isinstance(recogniser, Recogniser):
        raise PluginError(f"The plugin {name!r} does not give a Recogniser. Tell its author.")
    return recogniser


def make_engine(
    engine: str | EngineSettings, *, n_threads: int, threads_per_process: int = 1
) -> Engine:
    """Build an engine.

    Args:
        engine: Name of the engine plugin, or its settings with the name in them.
        n_threads: Threads that the task will start in each worker, at least 1.
        threads_per_process: How many of them a process of one machine has at least, unless
            the settings say how many processes there are.

    Raises:
        UnknownPluginError, PluginError: As ``load_factory``, or if it is no engine.
        ConfigError: If the engine cannot honour the settings.
        MissingExtraError: If it needs a library that is not installed.
    """
    settings = EngineSettings(engine) if isinstance(engine, str) else engine
    settings = replace(settings, n_threads=n_threads, threads_per_process=threads_per_process)
    made = load_factory("engine", settings.name)(settings)
    if not isinstance(made, Engine):
        raise PluginError(f"The plugin {settings.name!r} does not give an Engine. Tell its author.")
    return made


def make_obfuscator(name: str, parameters: Mapping[str, str | int | float | bool]) -> Obfuscator:
    """Build an obfuscator by name. Texts, as a command line gives them, are converted.

    Raises:
        UnknownPluginError, PluginError: As ``load_factory``, or if it is no obfuscator.
        ConfigError: If a parameter is unknown or has a value that cannot be used.
    """
    factory = load_factory("obfuscator", name)
    obfuscator = factory(**_converted(f"method {name!r}", factory, parameters))
    if not isinstance(obfuscator, Obfuscator):
        raise PluginError(f"The plugin {name!r} does not give an Obfuscator. Tell its author.")
    return obfuscator


def _converted(
    where: str, factory: object, parameters: Mapping[str, str | int | float | bool]
) -> dict[str, str | int | float | bool]:
    """Check parameters against the fields of a dataclass and convert texts to their types."""
    if not (isinstance(factory, type) and is_dataclass(factory)):
        return dict(parameters)
    defaults = {f.name: f.default for f in fields(factory) if f.init and f.default is not MISSING}
    result: dict[str, str | int | float | bool] = {}
    for key, value in parameters.items():
        if key not in defaults:
            raise ConfigError(
                f"The {where} has no parameter {key!r}. "
                f"It takes: {', '.join(sorted(defaults)) or 'none'}."
            )
        wanted = type(defaults[key])
        try:
            result[key] = _TYPES.get(wanted, wanted)(value)
        except (KeyError, OverflowError, TypeError, ValueError) as error:
            raise ConfigError(
                f"Parameter {key!r} of the {where} is {value!r}. "
                f"Give {_NAMES.get(wanted, f'a {wanted.__name__}')}."
            ) from error
    return result


def _whole(value: object) -> int:
    """Convert to a whole number what is one; int would cut off what is behind the point."""
    if isinstance(value, bool):
        raise TypeError("a truth value is no number")
    if isinstance(value, str):
        return int(value)
    # JSON has one kind of number: 6.0 is 6.
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return operator.index(value)  # type: ignore[arg-type]  # TypeError is the answer


def _number(value: object) -> float:
    """Convert to a number what is one; float would take a truth value for 0 or 1."""
    if isinstance(value, bool) or not isinstance(value, str | Real):
        raise TypeError("it is no number")
    number = float(value)
    if isnan(number):
        raise ValueError("nothing can be compared with it")
    return number


def _truth(value: object) -> bool:
    """Convert to a truth value; bool would take any text, and any number but 0, for true."""
    return value if isinstance(value, bool) else {"true": True, "false": False}[str(value).lower()]


_TYPES: Mapping[type, Callable[[object], Any]] = {int: _whole, float: _number, bool: _truth}
_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
