# SPDX-License-Identifier: Apache-2.0
"""The seams of Veilset: what a plugin has to offer. Every built-in goes through them.

A plugin is a callable (a class or a function) announced under an entry-point group of
``veilset.plugins``; the callable is given its settings and returns one of these.
"""

from __future__ import annotations

from veilset.protocols.data import Reader, Shard, ShardReader, ShardReport, ShardWriter, Writer
from veilset.protocols.engines import Engine, EngineSettings, Places, ShardTask, ShardWork, Tick
from veilset.protocols.models import (
    DEVICES,
    EFFORTS,
    PRECISIONS,
    Classifier,
    Detector,
    DetectorSettings,
    FaceEstimator,
    Guess,
    MethodCard,
    ModelUser,
    Obfuscator,
    Recogniser,
    RecogniserSettings,
    RuntimeSettings,
    Substituting,
)

__all__ = [
    "DEVICES",
    "EFFORTS",
    "PRECISIONS",
    "Classifier",
    "Detector",
    "DetectorSettings",
    "Engine",
    "EngineSettings",
    "FaceEstimator",
    "Guess",
    "MethodCard",
    "ModelUser",
    "Obfuscator",
    "Places",
    "Reader",
    "Recogniser",
    "RecogniserSettings",
    "RuntimeSettings",
    "Shard",
    "ShardReader",
    "ShardReport",
    "ShardTask",
    "ShardWork",
    "ShardWriter",
    "Substituting",
    "Tick",
    "Writer",
]
