# SPDX-License-Identifier: Apache-2.0
"""What the tests of trainings have in common."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.synthesize.small_trainings import CLASSIFIER, GENERATOR, MACHINE
from tests.unit.synthesize.drawn_faces import write_drawn_faces
from veilset.synthesize.attribute_training import train_attributes
from veilset.synthesize.export import export_onnx
from veilset.synthesize.generator import Generator
from veilset.synthesize.reconstruction_training import train_reconstruction


@pytest.fixture(scope="session")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of drawn faces of 8 people."""
    return write_drawn_faces(tmp_path_factory.mktemp("faces") / "faces")


@pytest.fixture(scope="session")
def trained(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a generator that learned from them for a second."""
    folder = tmp_path_factory.mktemp("trained")
    train_reconstruction(faces, folder, GENERATOR, machine=MACHINE)
    return folder


@pytest.fixture(scope="session")
def exported(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give its ONNX file."""
    path = tmp_path_factory.mktemp("exported") / "generator.onnx"
    export_onnx(Generator.load(trained), path)
    return path


@pytest.fixture(scope="session")
def classifier(faces: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a classifier that learned from them for a second."""
    folder = tmp_path_factory.mktemp("classifier")
    train_attributes(faces, folder, CLASSIFIER, machine=MACHINE)
    return folder
