# SPDX-License-Identifier: Apache-2.0
"""Train on obfuscated images without a copy of the data set: originals and a layer in.

``ObfuscatedImages`` takes the place of torchvision's ``ImageFolder``; ``ObfuscateSamples`` is a
step in a WebDataset pipeline. An image that the layer does not know is refused, never shown
as it is. PyTorch itself is not needed for either; ``docs/layer.md`` has the semantics.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image as PillowImage

from veilset.annotations.layer import Layer
from veilset.dataset.folder import PICTURE_SUFFIXES, SHARD_SIZE, has_suffix
from veilset.dataset.places import open_folder
from veilset.engine.steps import Steps
from veilset.engine.threads import ordered_map, usable_cores
from veilset.errors import ConfigError, DatasetError, DecodeError
from veilset.files import sha256_hex
from veilset.images.decode import DEFAULT_MAX_PIXELS, decode_image
from veilset.images.first_bytes import HEAD_BYTES, looks_like_a_picture
from veilset.images.orientation import unorient
from veilset.obfuscate.produce import Treatment, check_known, image_seed, produce
from veilset.protocols import Obfuscator
from veilset.types import Annotations, ImageRecord

__all__ = ["AppliedLayer", "ObfuscateSamples", "ObfuscatedImages"]

ON_REFUSED = ("raise", "skip")


@dataclass(slots=True)
class AppliedLayer:
    """A layer, and the method that it asks for; the method is built again where it is unpickled.

    Everything here raises ``DecodeError`` for a file that the layer does not know.

    Attributes:
        layer: The layer, mapped into memory.
        max_pixels: Images with more pixels are refused before they are decoded.
        obfuscator: Its method.
    """

    layer: Layer
    max_pixels: int = DEFAULT_MAX_PIXELS
    obfuscator: Obfuscator = field(init=False)

    def __post_init__(self) -> None:
        self.obfuscator = self.layer.facts.make_obfuscator()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.layer, self.max_pixels)

    def find(self, name: str, data: bytes) -> Annotations:
        """Give what the layer says of a file.

        Args:
            name: What the file is called, for messages.
            data: The file.
        """
        digest = sha256_hex(data)
        known = self.layer.find(ImageRecord(name), digest)
        check_known(known, digest)
        return known

    def released(self, name: str, data: bytes) -> bytes:
        """Give the file that the release has for this one."""
        known, facts = self.find(name, data), self.layer.facts
        seed = image_seed(facts.seed, known.sha256)
        treatment = Treatment(self.obfuscator, facts.metadata, facts.quality, seed, self.max_pixels)
        return produce(data, known, known.regions, treatment, Steps())[0]

    def picture(self, name: str, data: bytes) -> PillowImage.Image:
        """Give the obfuscated pixels in the orientation in which they are stored."""
        known = self.find(name, data)
        image, info = decode_image(data, max_pixels=self.max_pixels, check_end=False)
        if known.regions:
            seed = image_seed(self.layer.facts.seed, known.sha256)
            image = self.obfuscator.obfuscate(image, known.regions, seed=seed)
        return PillowImage.fromarray(unorient(image, info.orientation))

    def released_picture(self, name: str, data: bytes) -> PillowImage.Image:
        """Give the pixels of the released file, in the orientation in which they are stored."""
        image, info = decode_image(
            self.released(name, data), max_pixels=self.max_pixels, check_end=False
        )
        return PillowImage.fromarray(unorient(image, info.orientation))


def _applied(layer: str | Path | Layer, max_pixels: int) -> AppliedLayer:
    return AppliedLayer(layer if isinstance(layer, Layer) else Layer(layer), max_pixels)


class ObfuscatedImages:
    """A data set of ``(picture, class)``, each picture obfuscated as it is asked for.

    It takes the place of ``torchvision.datasets.ImageFolder``: folders are classes, pictures
    are ``PIL.Image.Image`` in RGB and in the orientation in which they are stored. A layer
    is mapped into memory once for all workers of a ``DataLoader``.

    Attributes:
        root: Folder of the originals.
        classes: Names of the classes, sorted.
        class_to_idx: Their indices.
        samples: Path and class of every image, in the order of ``ImageFolder``.
        targets: The classes alone.
        refused: With ``on_refused="skip"``, what was left out, and the reason for each.
        transform: Applied to every picture.
        target_transform: Applied to every class.
    """

    def __init__(
        self,
        photos: str | Path,
        layer: str | Path | Layer,
        transform: Callable[[Any], Any] | None = None,
        target_transform: Callable[[Any], Any] | None = None,
        *,
        exact: bool = False,
        on_refused: str = "raise",
        max_pixels: int = DEFAULT_MAX_PIXELS,
    ) -> None:
        """Open originals and layer.

        Args:
            photos: Folder with a folder for each class.
            layer: Redaction layer of these images.
            transform: Applied to every picture.
            target_transform: Applied to every class.
            exact: Whether pictures are those of the released file, decoded. Otherwise they are
                what is encoded into it: nearly the same in JPEG, lossy WebP and AVIF, the same
                in other formats, and faster.
            on_refused: What happens to an image that the layer does not know. ``raise``: it
                raises when it is asked for. ``skip``: every file is read once now, and what
                would be refused is left out.
            max_pixels: Images with more pixels are refused before they are decoded.

        Raises:
            ConfigError: If a setting cannot be used, or the method lacks a parameter.
            DatasetError: If the folder or the layer cannot be used, a class has no image, or all
                images were refused.
            PluginError: If the method is not installed in the version that the layer asks for.
        """
        if on_refused not in ON_REFUSED:
            raise ConfigError(f"on_refused is {on_refused!r}. Choose: {', '.join(ON_REFUSED)}.")
        self.root = str(photos)
        self.transform, self.target_transform = transform, target_transform
        self.exact = exact
        self._applied = _applied(layer, max_pixels)
        self._reader = open_folder(photos, "ObfuscatedImages")
        names = [
            record.image_id
            for shard in self._reader.shards(SHARD_SIZE)
            for record in shard.records
            if "/" in record.image_id
        ]
        self.classes = _classes(self.root, names)
        self.class_to_idx = {name: index for index, name in enumerate(self.classes)}
        self.refused: dict[str, str] = {}
        if on_refused == "skip":
            self.refused = dict(self._refusals(names))
            names = [name for name in names if name not in self.refused]
            if not names:
                raise DatasetError(
                    f"The layer {self._applied.layer.path} knows no image in {photos}. "
                    "Get the originals from which it was made."
                )
        # The order of ImageFolder: files of a folder before those of the folders in it.
        names.sort(key=lambda name: (name.partition("/")[0], *name.rpartition("/")[::2]))
        self.samples = [
            # Text, as ImageFolder gives it, and no Path.
            (os.path.join(self.root, name), self.class_to_idx[name.partition("/")[0]])  # noqa: PTH118
            for name in names
        ]
        self.targets = [target for _, target in self.samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        """Give a picture and its class, after the transforms.

        Raises:
            DatasetError: If the layer does not know the image; it names it and says what to do.
        """
        path, target = self.samples[index]
        picture: Any = self._picture(path)
        if self.transform is not None:
            picture = self.transform(picture)
        if self.target_transform is not None:
            return picture, self.target_transform(target)
        return picture, target

    def _picture(self, path: str) -> PillowImage.Image:
        name = Path(path).relative_to(self.root).as_posix()
        try:
            data = self._reader.read(ImageRecord(name))
            if self.exact:
                return self._applied.released_picture(name, data)
            return self._applied.picture(name, data)
        except DecodeError as error:
            raise _refusal(path, error) from error

    def _refusals(self, names: list[str]) -> Iterator[tuple[str, str]]:
        """Read every file, and give those that would be refused, with the reason."""

        def reason(name: str) -> str:
            try:
                self._applied.find(name, self._reader.read(ImageRecord(name)))
            except DecodeError as error:
                return error.reason
            return ""

        n_threads = usable_cores()
        with ThreadPoolExecutor(n_threads) as threads:
            reasons = ordered_map(threads, reason, names, window=4 * n_threads)
            yield from ((name, why) for name, why in zip(names, reasons, strict=True) if why)


class ObfuscateSamples:
    """A step of a WebDataset pipeline: every image of a sample becomes the released file.

    It works on bytes, before anything is decoded::

        wds.WebDataset(shards).map(ObfuscateSamples("photos.arrow")).decode("pil")

    What is an image is told as in tar files (``docs/layouts.md``): by its ending or its first
    bytes. Everything else of a sample stays as it is. A sample with an image that the layer does
    not know raises; with ``handler=wds.warn_and_continue`` it is left out.
    """

    def __init__(self, layer: str | Path | Layer, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> None:
        """Open a layer.

        Args:
            layer: Redaction layer of the images.
            max_pixels: Images with more pixels are refused before they are decoded.

        Raises:
            AnnotationError: If the layer cannot be used.
            PluginError, ConfigError: If its method is not installed as it asks for.
        """
        self._applied = _applied(layer, max_pixels)

    def __call__(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """Give the sample with its images as they are released.

        Raises:
            DatasetError: If the layer does not know an image, or one is decoded already.
        """
        result = dict(sample)
        for name, value in sample.items():
            if name.startswith("__") or not _is_image(name, value):
                continue
            place = f"{sample.get('__key__', '')}.{name} of {sample.get('__url__', 'the sample')}"
            if not isinstance(value, bytes):
                raise DatasetError(
                    f"{place} is decoded already ({type(value).__name__}). Put ObfuscateSamples "
                    "before what decodes."
                )
            try:
                result[name] = self._applied.released(place, value)
            except DecodeError as error:
                raise _refusal(place, error) from error
        return result


def _is_image(name: str, value: object) -> bool:
    return has_suffix(f".{name}", PICTURE_SUFFIXES) or (
        isinstance(value, bytes) and looks_like_a_picture(value[:HEAD_BYTES])
    )


def _refusal(place: str, error: DecodeError) -> DatasetError:
    # Workers of a DataLoader make the error anew from its text alone, which a DecodeError
    # does not allow.
    return DatasetError(f"{place} is refused ({error.reason}): {error}")


def _classes(root: str, names: list[str]) -> list[str]:
    with os.scandir(root) as entries:
        folders = sorted(e.name for e in entries if e.is_dir() and not e.name.startswith("."))
    if not folders:
        raise DatasetError(f"{root} holds no folder. Give a folder with a folder for each class.")
    filled = {name.partition("/")[0] for name in names}
    empty = [name for name in folders if name not in filled]
    if empty:
        raise DatasetError(
            f"The folder {empty[0]!r} in {root} holds no image, so that it is no class (links to "
            "folders are not followed). Remove it, or put its images there."
        )
    return folders
