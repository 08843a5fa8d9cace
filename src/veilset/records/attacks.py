# SPDX-License-Identifier: Apache-2.0
"""What an attack found, read back from its folder: for the report, which imports no stage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from veilset.errors import RunError
from veilset.runs import read_manifest

CLEAR, FILLED = "clear", "filled"
"""Settings that are no choice: nothing hidden, and every face one colour."""

LEARNED_FROM_STRANGERS = ("restore-learned", "parrot-student")
"""Attacks to which it does not matter whose faces they learn from."""


@dataclass(frozen=True, slots=True)
class AttackResults:
    """The numbers of an attack that a report needs.

    Attributes:
        manifest: All of ``run.json``.
    """

    manifest: Mapping[str, Any]

    @property
    def standings(self) -> list[Mapping[str, Any]]:
        """Every setting, ``clear`` and ``filled`` first, then from the most protecting on."""
        return list(self.manifest["extra"]["standings"])

    def standing(self, setting: str) -> Mapping[str, Any] | None:
        """Give what attackers reach in one setting; None if no face was attacked in it."""
        return next((each for each in self.standings if each["setting"] == setting), None)

    def setting_of(self, method: Mapping[str, Any]) -> str:
        """Name the setting that a method made, "" if it was not attacked.

        Args:
            method: ``name``, ``version`` and resolved ``parameters``, as a release records them.
        """
        wanted = _identity(method)
        for name, made in self.manifest["extra"]["methods"].items():
            if name not in (CLEAR, FILLED) and _identity(made) == wanted:
                return str(name)
        return ""


def _identity(method: Mapping[str, Any]) -> tuple[Any, ...]:
    """Give what makes a method the same one: a model by its digest, wherever it lies."""
    parameters = dict(method.get("parameters") or {})
    if parameters.get("model_sha256"):
        parameters.pop("model", None)
    return method.get("name"), method.get("version"), parameters


def read_attack(folder: Path) -> AttackResults:
    """Read the results of a finished attack.

    Raises:
        RunError: If the folder holds none, or they are damaged.
    """
    manifest = read_manifest(folder)
    if manifest.get("stage") != "attack" or "standings" not in manifest.get("extra", {}):
        raise RunError(
            f"{folder} holds no finished attack. Run 'veilset attack run', or check the folder."
        )
    return AttackResults(manifest)
