# SPDX-License-Identifier: Apache-2.0
"""Without the extra, a study says what to install; planning needs none of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.study.drawn_study import draw_study
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


def test_a_study_is_planned_without_pytorch(tmp_path: Path) -> None:
    path = draw_study(tmp_path)
    done = [
        subprocess.run(
            [sys.executable, "-c", WITHOUT, "study", verb, path], capture_output=True, text=True
        )
        for verb in ("plan", "run")
    ]
    assert (done[0].returncode, done[1].returncode) == (0, 1), done
    assert "veilset: PyTorch is not installed. Install it with: pip install" in done[1].stderr
