# SPDX-License-Identifier: Apache-2.0
"""What the tests of trainings have in common."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.synthesize import small_generators
from tests.synthesize.small_trainings import CLASSIFIER, GENERATOR, MACHINE
from tests.unit.synthesize.drawn_faces import write_drawn_faces
from tests.unit.synthesize.drawn_photographs import write_drawn_photographs
from veilset.synthesize.attribute_training import train_attributes
from veilset.synthesize.export import export_onnx
from veilset.synthesize.generator import Generator
from veilset.synthesize.reconstruction_training import train_reconstruction
from veilset.synthesize.viewing import prepare_views
from veilset.synthesize.views_file import ViewsFile


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


@pytest.fixture(scope="session")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a folder of drawn photographs with their boxes and people."""
    return write_drawn_photographs(tmp_path_factory.mktemp("drawn") / "set")


@pytest.fixture(scope="session")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give the folder of a generator whose training nothing stopped, with its private views."""
    out = tmp_path_factory.mktemp("whole") / "out"
    small_generators.train(source, out, keep_private=True)
    return out


@pytest.fixture(scope="session")
def views(source: Path, tmp_path_factory: pytest.TempPathFactory) -> ViewsFile:
    """Give the faces of the photographs with what is around them."""
    folder, config = tmp_path_factory.mktemp("views") / "views", small_generators.CONFIG.views
    prepare_views(source / "photos", source / "boxes", folder, config=config, workers=1)
    return ViewsFile.open(folder)
