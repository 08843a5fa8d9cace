# SPDX-License-Identifier: Apache-2.0
"""A study whose runs look finished: small networks with the weights of a seed, never trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from veilset.files import sha256_file
from veilset.learning.checkpoint import save_tensors
from veilset.study import records
from veilset.study.config import DataSpec, NetworkSpec, SettingSpec, StudyConfig, TransferSpec
from veilset.study.layout import StudyPaths, run_name
from veilset.study.networks import build
from veilset.study.records import Work

N_CLASSES = 7
TINY = NetworkSpec("tiny", "timm", "resnet18", {"layers": [1, 1, 1, 1], "channels": [8, 8, 16, 16]})
RESNET = NetworkSpec("resnet18")


def drawn_study(
    folder: Path, *specs: TransferSpec, networks: Sequence[NetworkSpec] = (TINY,)
) -> StudyConfig:
    """Give a study of the settings original and blurred, with two seeds; no pictures of its own."""
    settings = {name: SettingSpec(name, root=folder / name) for name in ("original", "blurred")}
    return StudyConfig(
        name="drawn",
        out=folder / "out",
        data=DataSpec(),
        settings=settings,
        networks=tuple(networks),
        seeds=(1, 2),
        train=("original", "blurred"),
        transfer=specs,
    )


def finish_runs(config: StudyConfig, *, settings: Sequence[str] = ("original", "blurred")) -> None:
    """Write weights and records for runs of all networks and seeds; settings differ in weights."""
    paths = StudyPaths(config.out)
    for network in config.networks:
        for number, setting in enumerate(settings):
            for seed in config.seeds:
                run_id = run_name(network.name, setting, seed)
                folder = paths.run(run_id)
                folder.mkdir(parents=True)
                module = build(network, N_CLASSES, seed=100 * number + seed)
                save_tensors(folder / "weights.safetensors", module.state_dict())
                records.check_started(folder, {"run_id": run_id, "n_classes": N_CLASSES})
                digest = sha256_file(folder / "weights.safetensors")
                records.finish_run(folder, digest, Work(), device="cpu")
