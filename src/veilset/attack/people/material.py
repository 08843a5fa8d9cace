# SPDX-License-Identifier: Apache-2.0
"""Questions for people are made of a finished attack: its photographs, halves and settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from veilset.annotations.hiding import is_hidden
from veilset.annotations.store import AnnotationSet
from veilset.attack.config import FILLED, Setting
from veilset.attack.faces import face_of
from veilset.attack.identities import HALVES
from veilset.attack.people.asking import Material
from veilset.attack.people.questions import Candidate
from veilset.attack.views import read_faces
from veilset.dataset.locations import location_of
from veilset.dataset.places import open_reader
from veilset.errors import ConfigError, DecodeError
from veilset.files import sha256_hex
from veilset.images.decode import decode_image
from veilset.plugins import make_obfuscator
from veilset.protocols import Obfuscator, Reader
from veilset.runs import read_manifest
from veilset.seeds import derive
from veilset.types import Image, ImageRecord

LOOK = "look"

_AROUND = 0.6
"""What is shown around a face's box, as a share of its longer side: head and shoulders."""


def open_material(attack: Path) -> Material:
    """Open what questions are made of.

    Args:
        attack: Folder of a finished attack.

    Raises:
        RunError: If it holds no finished attack.
        ConfigError: If originals, annotation set or a release are not where they were.
    """
    manifest = read_manifest(attack)
    if manifest.get("stage") != "attack":
        raise ConfigError(f"{attack} holds no attack but a {manifest.get('stage')!r} run.")
    n_shards = int(read_manifest(attack / LOOK)["n_shards"])
    rows = read_faces(attack / LOOK, n_shards)
    candidates = tuple(
        Candidate(row["image_id"], row["person"], row["half"])
        for row in rows
        if not row["reason"] and row["half"] in HALVES
    )
    config, places = manifest["config"], manifest["extra"]["places"]
    settings = tuple(Setting(**each) for each in config["settings"] if each["name"] != FILLED)
    album = Album(
        open_reader(location_of(places["photos"])),
        AnnotationSet(Path(places["annotations"])),
        {each.name: make_obfuscator(each.method, each.parameters) for each in settings
         if each.method},
        {each.name: open_reader(location_of(each.release)) for each in settings if each.release},
        config,
    )  # fmt: skip
    sources = (places["photos"], *(each.release for each in settings if each.release))
    return Material(
        candidates,
        tuple(each.name for each in settings),
        album.picture,
        tuple(location_of(place) for place in sources),
    )


@dataclass(frozen=True, slots=True)
class Album:
    """Gives heads and shoulders.

    Attributes:
        photos: The originals.
        known: Their annotation set.
        methods: Obfuscator of each setting that is a method.
        releases: Data set of each setting that is a release.
        config: Settings of the attack.
    """

    photos: Reader
    known: AnnotationSet
    methods: Mapping[str, Obfuscator]
    releases: Mapping[str, Reader]
    config: Mapping[str, object]

    def picture(self, setting: str, image_id: str) -> Image:
        """Give the surroundings of a photograph's face as a setting shows it, as RGB.

        Raises:
            ConfigError: If the photograph is not the one that was attacked any more.
        """
        row = self.known.find(ImageRecord(image_id))
        face = face_of(row, _number(self.config["face_min_score"]))
        data = self._read(self.photos, image_id)
        digest = sha256_hex(data)
        if face is None or (row.sha256 and row.sha256 != digest):
            raise ConfigError(
                f"{image_id} or its annotations have changed since the attack. Attack it anew."
            )
        shown = self._decode(data, image_id)
        if setting in self.releases:
            shown = self._decode(self._read(self.releases[setting], image_id), image_id)
        elif setting in self.methods:
            hidden = [
                each
                for each in row.regions
                if is_hidden(each, (), _number(self.config["min_score"]))
            ]
            seed = derive(int(_number(self.config["seed"])), "image", digest)
            regions = hidden if any(each is face for each in hidden) else [*hidden, face]
            shown = self.methods[setting].obfuscate(shown, regions, seed=seed)
        return _around(shown, face.box_xyxy)

    def _read(self, photos: Reader, image_id: str) -> bytes:
        try:
            return photos.read(ImageRecord(image_id))
        except DecodeError as error:
            raise ConfigError(f"{image_id} cannot be shown: {error}") from error

    def _decode(self, data: bytes, image_id: str) -> Image:
        try:
            return decode_image(data, max_pixels=int(_number(self.config["max_pixels"])))[0]
        except DecodeError as error:
            raise ConfigError(f"{image_id} cannot be shown: {error}") from error


def _number(value: object) -> float:
    return float(str(value))


def _around(image: Image, box_xyxy: tuple[float, float, float, float]) -> Image:
    """Cut out a face with what is around it, as far as the photograph reaches."""
    x0, y0, x1, y1 = box_xyxy
    more = _AROUND * max(x1 - x0, y1 - y0)
    left, top = max(0, round(x0 - more)), max(0, round(y0 - more))
    right, bottom = round(x1 + more), round(y1 + more)
    return np.ascontiguousarray(image[top:bottom, left:right])
