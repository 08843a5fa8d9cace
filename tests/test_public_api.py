# SPDX-License-Identifier: Apache-2.0
"""The public door: what is promised can be imported, and is documented."""

from __future__ import annotations

import ast
import inspect
from importlib.metadata import version

import pytest

import veilset


def test_all_is_sorted_and_equals_the_homes() -> None:
    assert veilset.__all__ == sorted(veilset.__all__)
    assert set(veilset.__all__) == set(veilset._HOMES)


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(inspect.getsource(veilset))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        alias.name: node.module
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert seen == veilset._HOMES


@pytest.mark.parametrize("name", veilset.__all__)
def test_name_is_importable_and_documented(name: str) -> None:
    value = getattr(veilset, name)
    assert inspect.getdoc(value)
    assert name in dir(veilset)


@pytest.mark.parametrize("name", [n for n in veilset.__all__ if n[0].islower()])
def test_function_takes_at_most_a_few_positional_arguments(name: str) -> None:
    parameters = inspect.signature(getattr(veilset, name)).parameters.values()
    assert not [p for p in parameters if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL)]
    assert all(p.annotation is not p.empty for p in parameters)


def test_the_version_is_that_of_the_package() -> None:
    assert veilset.__version__ == version("veilset")


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_thing"):
        veilset.no_such_thing  # noqa: B018  asking for it raises
