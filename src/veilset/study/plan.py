# SPDX-License-Identifier: Apache-2.0
"""The list of runs that a study asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from veilset.study.config import NetworkSpec, StudyConfig
from veilset.study.layout import StudyPaths, run_name
from veilset.study.lists import ImageList
from veilset.study.recipe import Recipe

FORMAT = "veilset-study-plan/1"


@dataclass(frozen=True, slots=True)
class PlannedRun:
    """One network, trained once.

    Attributes:
        run_id: Its name.
        network: What is trained.
        setting: On what.
        seed: With which seed.
        init: ``random`` or ``weights``.
        recipe: How, with the network's own learning rate and batch size put in.
        evaluate: Settings on which it is evaluated.
    """

    run_id: str
    network: NetworkSpec
    setting: str
    seed: int
    init: str
    recipe: Recipe
    evaluate: tuple[str, ...]

    def asked(self) -> dict[str, Any]:
        """Give what a training is asked for, as JSON values; where it is evaluated is not in it."""
        return {
            "run_id": self.run_id,
            "network": asdict(self.network),
            "setting": self.setting,
            "seed": self.seed,
            "init": self.init,
            "recipe": asdict(self.recipe),
        }


@dataclass(frozen=True, slots=True)
class Plan:
    """The runs in the order in which they are worked on.

    Attributes:
        runs: All settings and networks of the first seed, then those of the second: a study
            that is stopped is a smaller one that is complete.
        left_out: Images that not all settings have.
    """

    runs: tuple[PlannedRun, ...]
    left_out: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Give it as JSON values."""
        return {
            "format": FORMAT,
            "left_out": list(self.left_out),
            "runs": [
                {
                    "run_id": run.run_id,
                    "network": run.network.name,
                    "setting": run.setting,
                    "seed": run.seed,
                    "init": run.init,
                    "recipe_sha256": run.recipe.digest,
                }
                for run in self.runs
            ],
            "evaluations": [
                {"run_id": run.run_id, "setting": setting}
                for run in self.runs
                for setting in run.evaluate
            ],
        }


@dataclass(frozen=True, slots=True)
class Study:
    """A study whose images were looked at.

    Attributes:
        config: What is asked.
        folder: Where everything goes.
        plan: The runs.
        lists: The images, by split: ``train`` and ``val``.
        files_sha256: For each setting and split a digest of names and sizes of the files.
    """

    config: StudyConfig
    folder: Path
    plan: Plan
    lists: Mapping[str, ImageList]
    files_sha256: Mapping[str, Mapping[str, str]]

    @property
    def paths(self) -> StudyPaths:
        """The files in its folder."""
        return StudyPaths(self.folder)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in order."""
        return self.lists["val"].classes


def make_plan(config: StudyConfig, left_out: tuple[str, ...] = ()) -> Plan:
    """List the runs of a study."""
    runs = tuple(
        PlannedRun(
            run_id=run_name(network.name, setting, seed),
            network=network,
            setting=setting,
            seed=seed,
            init=network.init or config.init,
            recipe=_recipe_of(config.recipe, network),
            evaluate=tuple(config.evaluate.get(setting, (setting,))),
        )
        for seed in config.seeds
        for network in config.networks
        for setting in config.train
    )
    return Plan(runs, left_out)


def _recipe_of(recipe: Recipe, network: NetworkSpec) -> Recipe:
    changes: dict[str, Any] = {
        key: value
        for key, value in (("lr", network.lr), ("batch_size", network.batch_size))
        if value is not None
    }
    return replace(recipe, **changes)
