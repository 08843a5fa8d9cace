# SPDX-License-Identifier: Apache-2.0
"""Without the extra, a study says what to install; evaluation needs none of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.study.drawn_finished import draw_finished
from veilset.errors import MissingExtraError
from veilset.study.torch_door import require_torch

WITHOUT = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name in ("torch", "timm"):
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
from veilset.cli import main
main()
"""


@pytest.mark.parametrize("module", ["torch", "timm", "safetensors"])
def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError, match=r"not installed\. .* pip install 'veilset\[study"):
        require_torch()


def test_without_pytorch_a_study_is_evaluated_but_not_planned(tmp_path: Path) -> None:
    path = draw_finished(tmp_path)
    done = {
        verb: subprocess.run(
            [sys.executable, "-c", WITHOUT, "study", verb, path], capture_output=True, text=True
        )
        for verb in ("plan", "run", "evaluate", "tables")
    }
    codes = {verb: each.returncode for verb, each in done.items()}
    assert codes == {"plan": 1, "run": 1, "evaluate": 0, "tables": 0}, done
    for verb in ("plan", "run"):
        said = done[verb].stderr
        assert "veilset: PyTorch is not installed. Install it with: pip install" in said
