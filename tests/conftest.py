# SPDX-License-Identifier: Apache-2.0
"""Fixtures of all tests. Pictures are drawn by code: no photograph of a person is kept here."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

# Shared machines are slow now and then: time limits of single examples would only make
# noise. CI tries the same examples every time; elsewhere each run tries new ones.
settings.register_profile(
    "default", deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=60
)
settings.register_profile("ci", settings.get_profile("default"), derandomize=True)
settings.register_profile("thorough", settings.get_profile("default"), max_examples=600)

IS_THOROUGH = bool(os.environ.get("VEILSET_THOROUGH_TESTS"))
settings.load_profile("thorough" if IS_THOROUGH else "ci" if os.environ.get("CI") else "default")


def times(n: int, thorough: int) -> int:
    """Give how often something slow is repeated: in every run, and in a thorough one."""
    return thorough if IS_THOROUGH else n


REPOSITORY = Path(__file__).resolve().parents[1]


def files_below(folder: Path) -> dict[str, bytes]:
    """Give the content of every file in a folder and those in it, by its name from there."""
    paths = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def real_data_folder() -> Path:
    """Give the folder of real photographs; it need not exist."""
    return Path(os.environ.get("VEILSET_TEST_DATA", REPOSITORY.parent / "shared" / "data"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep together what one process has to run: whole files, and all that starts Ray.

    Marks and ``--dist loadgroup`` would say the same, but xdist 3.8 forgets marks, without a
    word, beside pytest 9.2.
    """
    from xdist.scheduler import LoadScopeScheduling

    def together(nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return "ray" if path.startswith("tests/engines/") else path

    scheduling = LoadScopeScheduling(config, log)
    scheduling._split_scope = together
    return scheduling


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip, visibly, what lacks its photographs."""
    if real_data_folder().is_dir():
        return
    skip = pytest.mark.skip(reason=f"no photographs in {real_data_folder()}")
    for item in items:
        if item.get_closest_marker("real"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real photographs, for tests marked ``real``."""
    return real_data_folder()


@pytest.fixture(autouse=True, scope="session")
def small_figures() -> Iterator[None]:
    """Draw the figures of audits small: in full size each takes as long as all of its counts."""
    from veilset.audit import raster

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(raster, "PNG_WIDTH_PX", 200)
        yield
