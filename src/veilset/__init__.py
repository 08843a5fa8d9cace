# SPDX-License-Identifier: Apache-2.0
"""Veilset makes large image data sets private, and proves it.

The public door: every name below can be imported from ``veilset``. Nothing is loaded
before it is used; importing does no input or output and starts no thread.

    >>> import numpy as np, veilset
    >>> image = np.zeros((64, 64, 3), np.uint8)
    >>> face = veilset.Region((10, 10, 30, 30))
    >>> veilset.obfuscate_image(image, [face], method="blackout").shape
    (64, 64, 3)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from veilset.annotations.config import ExportConfig, ImportConfig
    from veilset.annotations.exchange import export_annotations, import_annotations
    from veilset.annotations.store import AnnotationSet
    from veilset.attack.config import AttackConfig
    from veilset.attack.stage import attack_dataset
    from veilset.audit.config import AuditConfig, DataCard
    from veilset.audit.stage import audit_dataset
    from veilset.detect.stage import DetectConfig, detect_dataset
    from veilset.engine.drive import Progress
    from veilset.errors import VeilsetError
    from veilset.layer.stage import LayerConfig, LayerSummary, write_layer
    from veilset.metadata.clean import clean_metadata
    from veilset.obfuscate.stage import ObfuscateConfig, obfuscate_dataset, obfuscate_image
    from veilset.plugins import (
        list_plugins,
        make_classifier,
        make_detector,
        make_face_estimator,
        make_obfuscator,
        make_recogniser,
    )
    from veilset.protocols import (
        Classifier,
        Detector,
        DetectorSettings,
        EngineSettings,
        FaceEstimator,
        Guess,
        Obfuscator,
        Recogniser,
        RecogniserSettings,
        RuntimeSettings,
    )
    from veilset.remove.stage import RemovalSummary, RemoveConfig, remove_images
    from veilset.report.stage import write_report
    from veilset.review.settings import JobSettings
    from veilset.review.stage import export_review, open_review
    from veilset.run.stage import ReleaseSummary, RunConfig, run_dataset
    from veilset.runs import RunSummary
    from veilset.study.stage import (
        evaluate_study,
        plan_study,
        run_study,
        saliency_study,
        transfer_study,
        write_study_tables,
    )
    from veilset.types import Annotations, ImageRecord, Measurement, Origin, Region, Status
    from veilset.verify.manifest import verify_manifest
    from veilset.verify.stage import VerifyConfig, verify_dataset

_HOMES = {
    "AnnotationSet": "veilset.annotations.store",
    "Annotations": "veilset.types",
    "AttackConfig": "veilset.attack.config",
    "AuditConfig": "veilset.audit.config",
    "Classifier": "veilset.protocols",
    "DataCard": "veilset.audit.config",
    "DetectConfig": "veilset.detect.stage",
    "Detector": "veilset.protocols",
    "DetectorSettings": "veilset.protocols",
    "EngineSettings": "veilset.protocols",
    "ExportConfig": "veilset.annotations.config",
    "FaceEstimator": "veilset.protocols",
    "Guess": "veilset.protocols",
    "ImageRecord": "veilset.types",
    "ImportConfig": "veilset.annotations.config",
    "JobSettings": "veilset.review.settings",
    "LayerConfig": "veilset.layer.stage",
    "LayerSummary": "veilset.layer.stage",
    "Measurement": "veilset.types",
    "ObfuscateConfig": "veilset.obfuscate.stage",
    "Obfuscator": "veilset.protocols",
    "Origin": "veilset.types",
    "Progress": "veilset.engine.drive",
    "Recogniser": "veilset.protocols",
    "RecogniserSettings": "veilset.protocols",
    "Region": "veilset.types",
    "ReleaseSummary": "veilset.run.stage",
    "RemovalSummary": "veilset.remove.stage",
    "RemoveConfig": "veilset.remove.stage",
    "RunConfig": "veilset.run.stage",
    "RunSummary": "veilset.runs",
    "RuntimeSettings": "veilset.protocols",
    "Status": "veilset.types",
    "VeilsetError": "veilset.errors",
    "VerifyConfig": "veilset.verify.stage",
    "attack_dataset": "veilset.attack.stage",
    "audit_dataset": "veilset.audit.stage",
    "clean_metadata": "veilset.metadata.clean",
    "detect_dataset": "veilset.detect.stage",
    "evaluate_study": "veilset.study.stage",
    "export_annotations": "veilset.annotations.exchange",
    "export_review": "veilset.review.stage",
    "import_annotations": "veilset.annotations.exchange",
    "list_plugins": "veilset.plugins",
    "make_classifier": "veilset.plugins",
    "make_detector": "veilset.plugins",
    "make_face_estimator": "veilset.plugins",
    "make_obfuscator": "veilset.plugins",
    "make_recogniser": "veilset.plugins",
    "obfuscate_dataset": "veilset.obfuscate.stage",
    "obfuscate_image": "veilset.obfuscate.stage",
    "open_review": "veilset.review.stage",
    "plan_study": "veilset.study.stage",
    "remove_images": "veilset.remove.stage",
    "run_dataset": "veilset.run.stage",
    "run_study": "veilset.study.stage",
    "saliency_study": "veilset.study.stage",
    "transfer_study": "veilset.study.stage",
    "verify_dataset": "veilset.verify.stage",
    "verify_manifest": "veilset.verify.manifest",
    "write_layer": "veilset.layer.stage",
    "write_report": "veilset.report.stage",
    "write_study_tables": "veilset.study.stage",
}

__all__ = [
    "AnnotationSet",
    "Annotations",
    "AttackConfig",
    "AuditConfig",
    "Classifier",
    "DataCard",
    "DetectConfig",
    "Detector",
    "DetectorSettings",
    "EngineSettings",
    "ExportConfig",
    "FaceEstimator",
    "Guess",
    "ImageRecord",
    "ImportConfig",
    "JobSettings",
    "LayerConfig",
    "LayerSummary",
    "Measurement",
    "ObfuscateConfig",
    "Obfuscator",
    "Origin",
    "Progress",
    "Recogniser",
    "RecogniserSettings",
    "Region",
    "ReleaseSummary",
    "RemovalSummary",
    "RemoveConfig",
    "RunConfig",
    "RunSummary",
    "RuntimeSettings",
    "Status",
    "VeilsetError",
    "VerifyConfig",
    "attack_dataset",
    "audit_dataset",
    "clean_metadata",
    "detect_dataset",
    "evaluate_study",
    "export_annotations",
    "export_review",
    "import_annotations",
    "list_plugins",
    "make_classifier",
    "make_detector",
    "make_face_estimator",
    "make_obfuscator",
    "make_recogniser",
    "obfuscate_dataset",
    "obfuscate_image",
    "open_review",
    "plan_study",
    "remove_images",
    "run_dataset",
    "run_study",
    "saliency_study",
    "transfer_study",
    "verify_dataset",
    "verify_manifest",
    "write_layer",
    "write_report",
    "write_study_tables",
]


def __getattr__(name: str) -> object:
    if name == "__version__":
        return import_module("importlib.metadata").version("veilset")
    if name not in _HOMES:
        raise AttributeError(f"module 'veilset' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
