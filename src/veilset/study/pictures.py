# SPDX-License-Identifier: Apache-2.0
"""The pictures of a setting: files of a folder, or originals that are obfuscated as they come.

Pictures are ``PIL.Image.Image`` in RGB and in the orientation in which they are stored, as
torchvision's ``ImageFolder`` gives them. One that cannot be had stops the run: it never comes
as something else.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Protocol, cast, runtime_checkable

from PIL import Image as PillowImage

from veilset.annotations.layer import Layer
from veilset.annotations.store import AnnotationSet
from veilset.errors import DatasetError, DecodeError
from veilset.files import sha256_hex, writing
from veilset.images.pictures import reader_errors
from veilset.layer.stage import LayerConfig, write_layer
from veilset.plugins import make_obfuscator
from veilset.study.config import SettingSpec, StudyConfig
from veilset.torch import AppliedLayer


class PictureSource(Protocol):
    """Gives pictures by name; can be pickled, for the processes of a loader."""

    def read(self, image_id: str) -> PillowImage.Image:
        """Give a picture in RGB, in the orientation in which it is stored.

        Raises:
            DatasetError: If it cannot be had; the message names the setting and the image.
        """


@runtime_checkable
class FileSource(PictureSource, Protocol):
    """A source whose pictures come from files of their own, so that they can be kept."""

    @property
    def setting(self) -> str:
        """What the setting is called in the study, for messages."""

    def path(self, image_id: str) -> Path:
        """Give the file from which a picture comes."""

    def identity(self) -> str:
        """Give all that decides a picture besides its file."""


@dataclass(frozen=True, slots=True)
class FolderPictures:
    """Pictures of a folder, decoded by Pillow as ``ImageFolder`` does.

    Attributes:
        root: The folder.
        setting: What it is called in the study, for messages.
    """

    root: Path
    setting: str

    def path(self, image_id: str) -> Path:
        """Give the file of a picture."""
        return self.root / image_id

    def identity(self) -> str:
        """Give what decides a picture besides its file."""
        return f"folder, pillow {version('pillow')}"

    def read(self, image_id: str) -> PillowImage.Image:
        """Give a picture.

        Raises:
            DatasetError: If it is missing, or cannot be decoded.
        """
        data = self.data(image_id)
        with (
            named_errors(self.setting, image_id),
            reader_errors("image"),
            PillowImage.open(io.BytesIO(data)) as picture,
        ):
            return picture.convert("RGB")

    def data(self, image_id: str) -> bytes:
        """Give the file of a picture as it is.

        Raises:
            DatasetError: If it cannot be read.
        """
        return _file(self.path(image_id), self.setting, image_id)


@dataclass(frozen=True, slots=True)
class LayerPictures:
    """Originals that a redaction layer obfuscates as they are asked for.

    Attributes:
        root: Folder of the originals.
        setting: What this is called in the study, for messages.
        applied: The layer.
    """

    root: Path
    setting: str
    applied: AppliedLayer

    def path(self, image_id: str) -> Path:
        """Give the file of the original."""
        return self.root / image_id

    def identity(self) -> str:
        """Give what decides a picture besides its file."""
        # The layer names the version of its method.
        packages = ", ".join(f"{name} {version(name)}" for name in ("veilset", "pillow"))
        return f"layer {self.applied.layer.sha256}, {packages}"

    def read(self, image_id: str) -> PillowImage.Image:
        """Give a picture as the release has it, before it is encoded.

        Raises:
            DatasetError: If the original is missing or cannot be decoded, or the layer does not
                know it; it is never given as it is.
        """
        data = _file(self.path(image_id), self.setting, image_id)
        with named_errors(self.setting, image_id):
            return self.applied.picture(image_id, data)


def open_source(config: StudyConfig, setting: str) -> PictureSource:
    """Open the pictures of a setting.

    For a setting that names a method, the annotation set becomes a redaction layer in the
    folder of the study first: found by content, it can be asked in any order at once.

    Args:
        config: The study.
        setting: One of its settings.

    Raises:
        AnnotationError: If layer or annotation set cannot be used.
        PluginError, ConfigError: If the method is not installed as it is asked for.
        RunError: If the layer cannot be written.
    """
    spec = config.settings[setting]
    if spec.root is not None:
        return FolderPictures(spec.root, setting)
    # A study is made only of settings whose originals are a folder.
    root = cast(Path, config.settings[spec.of].root)
    layer = spec.layer or _written_layer(config, spec)
    return LayerPictures(root, setting, AppliedLayer(Layer(layer)))


def _written_layer(config: StudyConfig, spec: SettingSpec) -> Path:
    # A study with a method is made only with annotations.
    annotations = cast(Path, config.data.annotations)
    wanted = LayerConfig(
        method=spec.method, parameters=spec.parameters, min_score=config.data.min_score
    )
    card = make_obfuscator(wanted.method, wanted.parameters).card
    inputs = AnnotationSet(annotations).manifest["outputs_sha256"]
    facts = [inputs, card.name, card.version, dict(card.parameters), wanted.min_score]
    digest = sha256_hex(json.dumps(facts, sort_keys=True).encode())
    path = config.out / "layers" / f"{spec.name}-{digest[:12]}.arrow"
    if not path.exists():
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            # Processes that write it at the same time write the same bytes.
            with TemporaryDirectory(dir=path.parent) as folder:
                write_layer(annotations, Path(folder) / path.name, wanted)
                (Path(folder) / path.name).replace(path)
    return path


def _file(path: Path, setting: str, image_id: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(
            f"{setting}/{image_id} cannot be read ({error.strerror or error}). "
            "Put the file back, or make the study anew without it."
        ) from error


@contextmanager
def named_errors(setting: str, image_id: str) -> Iterator[None]:
    """Say of a picture that is refused which it is."""
    try:
        yield
    except DecodeError as error:
        raise DatasetError(f"{setting}/{image_id} is refused ({error.reason}): {error}") from error
