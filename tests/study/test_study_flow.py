# SPDX-License-Identifier: Apache-2.0
"""A whole study from its YAML file to the report of the release, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner, Result

from tests.study.drawn_study import draw_study
from veilset.cli.app import app

TEXT = """\
format: veilset-study/1
data: {annotations: faces}
settings:
  original: {root: photos}
  released: {root: released}
  fly: {method: mosaic}
networks:
  - {name: tiny, source: timm, model: resnet18,
     arguments: {layers: [1, 1, 1, 1], channels: [4, 4, 8, 8]}}
  - shufflenet_v2_x0_5
seeds: [1, 2]
train: [original, released]
evaluate: {released: [released, original], original: [original, fly]}
recipe: {base: small, epochs: 1, warmup_epochs: 0, batch_size: 5, train_size: 32,
         eval_resize: 36, eval_crop: 32}
bootstrap: 1000
"""


def call(*words: object, code: int = 0) -> Result:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(scope="module")
def yaml_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_study(tmp_path_factory.mktemp("flow"), TEXT)


def test_from_the_file_to_the_report(yaml_file: Path) -> None:
    out = yaml_file.with_name("study.study")
    call("study", "plan", yaml_file)
    # Half of the runs, then a command that takes up the rest.
    call("study", "run", yaml_file, "--devices", "cpu", "--only", "*.s1", "-q")
    weights = {path: path.read_bytes() for path in out.glob("runs/*/weights.safetensors")}
    assert len(weights) == 4
    call("study", "run", yaml_file, "--devices", "cpu", "-q")
    assert len(list(out.glob("runs/*/run.json"))) == 8
    assert len(list(out.glob("predictions/*/*.parquet"))) == 16
    assert all(path.read_bytes() == data for path, data in weights.items())
    assert "8 runs: 8 done, 0 failed, 0 left; 0 predictions left" in call(
        "study", "plan", yaml_file
    ).stderr.replace("\n", " ")

    call("study", "evaluate", yaml_file, "-q")
    first = (out / "study.json").read_bytes()
    call("study", "evaluate", yaml_file, "-q")
    assert (out / "study.json").read_bytes() == first

    found = {table["name"]: table for table in json.loads(first)["tables"]}
    assert {"table_3", "table_7", "table_8", "drops", "faces"} <= found.keys()
    # The accuracy of one run, counted once more from its predictions.
    rows = {row["network"]: row for row in found["table_3"]["rows"]}
    shares = []
    for seed in (1, 2):
        path = out / "predictions" / f"tiny.released.s{seed}" / "released.parquet"
        given = pq.read_table(path).to_pylist()
        shares.append(sum(row["top"][0] == row["label"] for row in given) / len(given))
    assert rows["tiny"]["top1.released"]["mean"] == pytest.approx(sum(shares) / 2)

    call("study", "tables", yaml_file)
    assert (out / "tables" / "table_3.csv").is_file()
    page = call("report", yaml_file.with_name("released"), "-a", yaml_file.with_name("faces"),
                "--study", out).stdout.strip()  # fmt: skip
    assert "What it costs" in Path(page).read_text()
