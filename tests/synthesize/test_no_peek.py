# SPDX-License-Identifier: Apache-2.0
"""What lies under the ellipse reaches no face: through preparation, network and ONNX file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from tests.unit.networks.drawn_landmarks import drawn_landmarks
from tests.unit.synthesize.drawn_faces import CONFIG, NAMES, drawn_photo
from veilset.errors import ConfigError, RunError
from veilset.networks.coarse_landmarks import Detail
from veilset.networks.face_ellipse import face_ellipse
from veilset.networks.face_generator import CARD_KEY
from veilset.networks.factor_generator import FactorGenerator
from veilset.synthesize import export
from veilset.synthesize.attribute_planes import Embedding
from veilset.synthesize.export import TOLERANCE, export_onnx
from veilset.synthesize.faces_file import HIDDEN, FacesFile
from veilset.synthesize.generator import Generator, input_values
from veilset.synthesize.inputs import AttributePlanes, FactorInputs, InputConfig
from veilset.synthesize.networks import ReconstructionNetwork
from veilset.synthesize.preparing import cut_face

PRESENT = np.array([[True, False, True, False]])


def test_hidden_pixels_change_no_byte_of_the_face(trained: Path) -> None:
    generator = Generator.load(trained)
    landmarks_xy = drawn_landmarks((50, 55))
    photo = drawn_photo(PRESENT[0], landmarks_xy, seed=3)
    mask = face_ellipse(landmarks_xy, margin=CONFIG.margin).mask((100, 100))
    mask[18:102, 20:80] = True  # the box and a tenth of it
    noise = np.random.default_rng(4).integers(0, 256, photo.shape, dtype=np.uint8)
    made = []
    for image in (photo, np.where(mask[..., None], noise, photo)):
        face = cut_face(image, (25, 25, 75, 95), landmarks_xy, CONFIG)
        made.append(
            generator.reconstruct(face.landmarks_xy[None], face.context[None], PRESENT).tobytes()
        )
    assert made[0] == made[1]
    # What is not hidden does reach it.
    other = np.where(mask[..., None], photo, noise)
    face = cut_face(other, (25, 25, 75, 95), landmarks_xy, CONFIG)
    seen = generator.reconstruct(face.landmarks_xy[None], face.context[None], PRESENT)
    assert seen.tobytes() != made[0]


def test_attributes_do_reach_the_face(trained: Path, faces: Path) -> None:
    generator, data = Generator.load(trained), FacesFile.open(faces)
    contexts = data.pictures["contexts"].take([0])
    made = [
        generator.reconstruct(data.landmarks_xy[:1], contexts, present)
        for present in (PRESENT, ~PRESENT)
    ]
    assert (made[0] != made[1]).any()


def test_a_face_does_not_depend_on_the_others_of_its_batch(trained: Path, faces: Path) -> None:
    generator, data = Generator.load(trained), FacesFile.open(faces)
    rows = [0, 1, 2]
    contexts, present = data.pictures["contexts"].take(rows), data.present[rows]
    together = generator.reconstruct(data.landmarks_xy[rows], contexts, present)
    alone = generator.reconstruct(data.landmarks_xy[1:2], contexts[1:2], present[1:2])
    # Sums of another order round otherwise.
    assert int(np.abs(together[1].astype(int) - alone[0]).max()) <= 1


def test_the_hidden_part_of_a_context_is_black_inside(faces: Path) -> None:
    data = FacesFile.open(faces)
    rows = range(len(data.image_ids))
    contexts, hidden = data.pictures["contexts"].take(rows), data.pictures[HIDDEN].take(rows)
    targets = data.pictures["targets"].take(rows)
    np.testing.assert_array_equal(contexts[hidden == 0], targets[hidden == 0])
    share = (contexts[hidden > 0] == 0).all(axis=1).mean()
    assert 0.5 < share < 1  # at the rim pixels mix


def test_the_onnx_file_computes_what_the_network_does(trained: Path, tmp_path: Path) -> None:
    generator = Generator.load(trained)
    check = export_onnx(generator, tmp_path / "face.onnx")
    assert max(check.onnxruntime, check.openvino) <= TOLERANCE
    assert check.n_values == 4 * 3 * 32 * 32
    model = onnx.load(tmp_path / "face.onnx")
    onnx.checker.check_model(model)
    (card,) = (each.value for each in model.metadata_props if each.key == CARD_KEY)
    cutting = {"context": 1.35, "aspect": 1.0, "margin": 0.06, "hide_box": 0.1}
    assert json.loads(card) == {**generator.card, "cutting": cutting}
    assert json.loads(card)["attributes"] == list(NAMES)
    with pytest.raises(ConfigError, match="does not say how the faces were cut out"):
        export.exported_card({"format": "veilset-face-generator/1"})


def test_the_planes_of_an_embedding_are_in_the_file(trained: Path, tmp_path: Path) -> None:
    config = InputConfig(detail=Detail.FIVE, planes=AttributePlanes.WORD2VEC)
    vectors = np.random.default_rng(5).normal(size=(4, 8, 4)).astype(np.float32)
    inputs = FactorInputs(config, 4, (32, 32), embedding=Embedding(NAMES, vectors))
    network = ReconstructionNetwork(inputs.n_in, (4, 6), (6, 4)).eval()
    card = {**Generator.load(trained).card, "inputs": input_values(config)}
    export_onnx(Generator(network, inputs, NAMES, card), tmp_path / "face.onnx")
    facts = FactorGenerator((tmp_path / "face.onnx").read_bytes(), "face.onnx").facts
    assert (facts.detail, facts.names, facts.size_hw) == (Detail.FIVE, NAMES, (32, 32))


def test_an_export_that_differs_is_not_written(
    trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator, exported = Generator.load(trained), export._exported

    def other(given: Generator, inputs: Mapping[str, export.Floats]) -> bytes:
        with torch.no_grad():
            given.network.to_rgb.bias += 0.1
        return exported(given, inputs)

    monkeypatch.setattr(export, "_exported", other)
    with pytest.raises(RunError, match=r"ONNX Runtime gives faces that differ by 0\.0"):
        export_onnx(generator, tmp_path / "face.onnx")
    assert not list(tmp_path.iterdir())


def test_weights_that_are_no_generator_are_refused(trained: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"is missing\. Finish the training"):
        Generator.load(tmp_path / "nothing.safetensors")
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes((trained / "weights.safetensors").read_bytes()[:-9])
    with pytest.raises(ConfigError, match="is damaged"):
        Generator.load(broken)
    generator = Generator.load(trained)
    with pytest.raises(ConfigError, match="do not fit a generator of faces of 32x32"):
        generator.reconstruct(np.zeros((1, 68, 2)), np.zeros((1, 8, 8, 3), np.uint8), PRESENT)
