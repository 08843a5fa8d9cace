# SPDX-License-Identifier: Apache-2.0
"""What a study can be asked to do; each of these is a command of ``veilset study``."""

from __future__ import annotations

from pathlib import Path

from veilset.study.opening import open_study
from veilset.study.plan import Study
from veilset.study.yaml_file import read_study


def plan_study(path: str | Path, *, recipe: str | None = None) -> Study:
    """Check a study and write down its runs; nothing is trained.

    Args:
        path: The YAML file.
        recipe: Recipe that takes the place of the one in the file.

    Raises:
        ConfigError: If the file cannot be used.
        DatasetError: If the images of its settings cannot be compared.
        ResumeMismatchError: If they are not those with which the study began.
    """
    return open_study(read_study(Path(path), recipe=recipe))
