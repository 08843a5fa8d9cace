# SPDX-License-Identifier: Apache-2.0
"""A study with its YAML file whose runs are all finished, without any training."""

from __future__ import annotations

from pathlib import Path

from tests.study.drawn_results import Drawn, draw_predictions
from tests.study.drawn_study import draw_study
from veilset.study.opening import open_study
from veilset.study.records import Work, check_started, finish_run
from veilset.study.yaml_file import read_study


def draw_finished(base: Path) -> Path:
    """Draw a study, write what its runs would have said, and give its ``study.yaml``."""
    path = draw_study(base)
    study = open_study(read_study(path))
    for run in study.plan.runs:
        folder = study.paths.run(run.run_id)
        folder.mkdir(parents=True)
        check_started(folder, run.asked())
        for setting in run.evaluate:
            draw_predictions(study, run.run_id, run.setting, setting, Drawn())
        finish_run(folder, f"weights of {run.run_id}", Work(), device="none")
    return path
