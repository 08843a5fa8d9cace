# SPDX-License-Identifier: Apache-2.0
"""``veilset study run`` from the outside."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.study.drawn_runs import CLASSES, draw_setting
from veilset.cli.app import app
from veilset.cli.study_talk import StudyProgress, parse_duration
from veilset.engine.threads import usable_cores
from veilset.errors import ConfigError
from veilset.files import sha256_file
from veilset.learning.devices import find_devices, open_device, share_devices
from veilset.study.recipe import PAPER, make_recipe
from veilset.study.train import TrainingProgress
from veilset.study.work import Counts, Event

YAML = """\
format: veilset-study/1
settings:
  original: {root: original}
  dark: {root: dark}
networks:
  - name: tiny
    source: timm
    model: resnet18
    arguments: {layers: [1, 1, 1, 1], channels: [4, 4, 8, 8]}
seeds: [1]
recipe:
  {base: small, epochs: EPOCHS, warmup_epochs: 1, batch_size: 8, train_size: 16, eval_resize: 18,
   eval_crop: 16}
checkpoint_every_s: 0.1
"""

# Enough that a study is still at work when it is asked to end.
MANY = 30


def draw(base: Path, *, epochs: int = 2) -> Path:
    base.mkdir(exist_ok=True)
    draw_setting(base / "original")
    draw_setting(base / "dark", darker=60)
    path = base / "study.yaml"
    path.write_text(YAML.replace("EPOCHS", str(epochs)))
    return path


def test_it_runs_and_goes_on(tmp_path: Path) -> None:
    study = draw(tmp_path)
    done = CliRunner().invoke(app, ["study", "run", str(study), "--only", "*.dark.*"])
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path / 'study.study'}\n")
    assert "study: 1 planned, 1 done, 0 failed, 0 left" in done.stderr
    done = CliRunner().invoke(app, ["study", "run", str(study), "--json", "--no-keep"])
    assert done.exit_code == 0
    counts = json.loads(done.stdout)["counts"]
    assert counts == {"planned": 2, "done": 2, "failed": 0, "left": 0}


def test_a_run_that_failed_is_told_every_time(tmp_path: Path) -> None:
    study = draw(tmp_path)
    path = tmp_path / "dark" / "train" / CLASSES[0] / "0.png"
    whole = path.read_bytes()
    path.write_bytes(whole[:100])
    for _ in range(2):
        done = CliRunner().invoke(app, ["study", "run", str(study)])
        assert done.exit_code == 3
        assert "study: 2 planned, 1 done, 1 failed, 0 left" in done.stderr
        message = done.stderr.split("tiny.dark.s1 failed: ")[1].splitlines()[0]
        assert "dark/train/blue/0.png is refused" in message


def test_what_is_left_is_told(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["study", "run", str(draw(tmp_path)), "--stop-after", "0s"])
    assert done.exit_code == 3
    assert "2 runs are left. Run the same command again to go on." in done.stderr


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study that was never stopped."""
    study = draw(tmp_path_factory.mktemp("whole"), epochs=MANY)
    assert CliRunner().invoke(app, ["study", "run", str(study)]).exit_code == 0
    return study


@pytest.mark.parametrize("options", [[], ["--processes", "2"]], ids=["alone", "processes"])
def test_asked_to_end_it_leaves_a_checkpoint(
    tmp_path: Path, whole: Path, options: list[str]
) -> None:
    study = draw(tmp_path / "stopped", epochs=MANY)
    arguments = ["study", "run", str(study), "--devices", "cpu", "--quiet"]
    command = [sys.executable, "-c", "from veilset.cli import main; main()", *arguments, *options]
    checkpoints = "study.study/runs/*/checkpoint.json"
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while process.poll() is None and not list(study.parent.glob(checkpoints)):
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        assert process.stderr is not None
        assert "Run the same command again to go on." in process.stderr.read()
    assert process.returncode == 130
    assert not list(study.parent.glob("study.study/runs/*/run.json"))
    assert not (study.parent / "study.study" / ".kept").exists()
    assert CliRunner().invoke(app, ["study", "run", str(study)]).exit_code == 0
    for name in ("tiny.original.s1", "tiny.dark.s1"):
        weights = f"study.study/runs/{name}/weights.safetensors"
        assert sha256_file(study.parent / weights) == sha256_file(whole.parent / weights)


def test_lengths_of_time() -> None:
    assert [parse_duration(text) for text in ("0", "5s", "1.5m", "2h")] == [0, 5, 90, 7200]
    for text in ("", "h", "-1s", "1d", "1 h"):
        with pytest.raises(ConfigError, match="is no length of time"):
            parse_duration(text)


def test_progress_tells_runs_epochs_speed_and_time(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with StudyProgress(quiet=False) as progress:
        progress.told(Event("opened", "", counts=Counts(planned=36, done=12, failed=0, left=24)))
        # Half of a run in the first half of an hour, taken up where nothing was done.
        for step in (0, 100):
            told = TrainingProgress("resnet18.veil.s2", step, 200, 3, 20, 1.712, 512.3)
            progress.told(Event("progress", "resnet18.veil.s2", told))
            now[0] += 1800
    assert capsys.readouterr().err.splitlines() == [
        "study     12 of 36 runs, resnet18.veil.s2 epoch 3/20 loss 1.71, 512 images/s, 23:30 h left"
    ]


def test_devices_that_are_not_there_are_told() -> None:
    with pytest.raises(ConfigError, match=r"no device 'cuda:7' here\. Choose: auto, cpu"):
        find_devices("cuda:7")
    with pytest.raises(ConfigError, match="Name each once"):
        find_devices("cpu,cpu")
    with pytest.raises(ConfigError, match=f"is not in 1 to {usable_cores()}"):
        share_devices("cpu", usable_cores() + 1)
    with pytest.raises(ConfigError, match="16-mixed is for NVIDIA GPUs"):
        open_device("cpu", make_recipe("paper", {"precision": "16-mixed"}))
    assert open_device("cpu", PAPER).device.type == "cpu"
