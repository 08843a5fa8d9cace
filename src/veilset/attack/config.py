# SPDX-License-Identifier: Apache-2.0
"""What is attacked, and how."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from veilset.attack.identities import FOLDERS
from veilset.attack.views import RESTORED, STRANGERS
from veilset.engine.threads import MOST_THREADS
from veilset.errors import ConfigError
from veilset.images.decode import DEFAULT_MAX_PIXELS
from veilset.protocols import RecogniserSettings
from veilset.seeds import check_seed

CLEAR = "clear"
"""The setting in which nothing is hidden: what the attacks can do at best."""

FILLED = "filled"
"""The setting in which every face is filled with one colour: what body and background tell."""

RECOGNISE = "recognise"
RESTORE_KNOWN, RESTORE_LEARNED = "restore-known", "restore-learned"
PARROT_EMBEDDINGS, PARROT_PIXELS = "parrot-embeddings", "parrot-pixels"
PARROT_NETWORK, PARROT_STUDENT = "parrot-network", "parrot-student"
ASSESSOR = "assessor"
SCENE = "scene"

ATTACKS: Mapping[str, str] = {
    RECOGNISE: "A recogniser of clear faces looks at the obfuscated ones (naive recognition).",
    RESTORE_KNOWN: "The method's own inverse, where it has one; then as 'recognise'.",
    RESTORE_LEARNED: "A network that learned to restore this method's faces; then as 'recognise'.",
    PARROT_EMBEDDINGS: "A classifier of the recogniser's embeddings, trained on obfuscated faces.",
    PARROT_PIXELS: "A linear classifier of pixels, trained on obfuscated faces (Fisherfaces).",
    PARROT_NETWORK: "A network trained on obfuscated faces from scratch.",
    PARROT_STUDENT: "A network that learned to see in obfuscated faces what the recogniser sees in "
    "clear ones.",
    ASSESSOR: "A network trained on clear faces of 20 people looks at obfuscated ones.",
    SCENE: "A linear classifier of whole pictures whose faces are filled, and of their settings.",
}
LEARNED = (RESTORE_LEARNED, PARROT_NETWORK, PARROT_STUDENT, ASSESSOR)
"""Attacks that train networks; they need PyTorch."""

STANDARD = (
    "blur-paper", "blur-released", "blur:strength=0.05", "blur:strength=0.1",
    "blur:strength=0.2", "veil:cells=4", "veil:cells=6", "veil:cells=8", "veil:cells=12",
    "mosaic:cells=4", "mosaic:cells=8", "mosaic:cells=16", "overlay", "blackout", "mask",
    "inpaint", "swirl",
)  # fmt: skip
"""Every method, at several strengths: what is attacked where nothing else is named."""

_RESERVED = (CLEAR, FILLED)
_LONGEST_NAME = 80
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9 ._=:,+-]{0,79}")
_PAIRS = re.compile(",(?=[^,=]*=)")
_NOT_IN_NAME = re.compile(r"[^A-Za-z0-9 ._=:,+-]")

Parameters = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class Setting:
    """One way in which the photographs are shown.

    Attributes:
        name: Its name in tables.
        release: Place of a data set in which they are obfuscated; "" for a method.
        method: Obfuscator plugin, applied to the regions of the annotation set in memory; "" for
            a release, and for ``clear``.
        parameters: Of the method.

    Raises:
        ConfigError: If the name cannot be used.
    """

    name: str
    release: str = ""
    method: str = ""
    parameters: Parameters = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name):
            raise ConfigError(
                f"{self.name!r} cannot be the name of a setting. Use up to 80 letters, digits, "
                "spaces and . _ = : , + -, a letter or digit first."
            )
        if self.name in _RESERVED and (self.release or self.method != _METHODS[self.name]):
            raise ConfigError(f"The name {self.name!r} is taken. Choose another for the setting.")
        for ending, whose in ((RESTORED, "restored faces"), (STRANGERS, "strangers' faces")):
            if self.slug.endswith(ending):
                raise ConfigError(
                    f"The name {self.name!r} ends as that of {whose} does. Choose another for "
                    "the setting."
                )

    @property
    def slug(self) -> str:
        """Its name as that of a folder, unlike that of any other setting of an attack."""
        return re.sub(r"[ :,]", "+", self.name)


_METHODS = {CLEAR: "", FILLED: "overlay"}


def method_setting(text: str) -> Setting:
    """Read a method and its parameters.

    Args:
        text: ``NAME`` or ``NAME:KEY=VALUE,KEY=VALUE``. A comma that no other ``KEY=`` follows is
            part of the value, as of a path.

    Returns:
        Called as the text, without folders; ``-`` stands for what a name cannot hold.

    Raises:
        ConfigError: If it is neither.

    Example:
        >>> method_setting("blur:strength=0.2").parameters
        {'strength': '0.2'}
        >>> method_setting("synthesize:model=out/generator.onnx").name
        'synthesize:model=generator.onnx'
    """
    method, _, rest = text.partition(":")
    if not method.strip():
        raise ConfigError(f"--method {text!r} is not of the form NAME[:KEY=VALUE,...].")
    parameters: dict[str, str | int | float | bool] = {}
    name = text
    for pair in _PAIRS.split(rest) if rest else ():
        key, equals, value = pair.partition("=")
        if not equals or not key.strip() or not value.strip():
            raise ConfigError(f"{pair!r} in {text!r} is not of the form KEY=VALUE.")
        if key.strip() in parameters:
            raise ConfigError(f"{text!r} gives {key.strip()!r} twice. Leave one out.")
        parameters[key.strip()] = value.strip()
        # The name stands in tables that are published: no folders of this machine.
        name = name.replace(value.strip(), Path(value.strip()).name)
    name = _NOT_IN_NAME.sub("-", name)[:_LONGEST_NAME]
    return Setting(name, method=method, parameters=parameters)


def release_setting(text: str) -> Setting:
    """Read the name and the place of a release.

    Args:
        text: ``NAME=PLACE``.

    Raises:
        ConfigError: If it is not of that form.

    Example:
        >>> release_setting("veiled=out/veil").release
        'out/veil'
    """
    name, equals, place = text.partition("=")
    if not equals or not name.strip() or not place.strip():
        raise ConfigError(f"--release {text!r} is not of the form NAME=PLACE.")
    return Setting(name.strip(), release=place.strip())


@dataclass(frozen=True, slots=True)
class AttackConfig:
    """Everything that decides the result of an attack.

    Attributes:
        settings: What is attacked; none for ``STANDARD``.
        attacks: Names of ``ATTACKS``.
        identities: ``folders``, or a file; see ``identities.read_identities``.
        recogniser: Name of a recogniser plugin.
        recogniser_settings: How it is to work.
        gallery_share: Share of each person's photographs that the attacker holds, in (0, 1).
        min_score: Regions of a detector with a lower score are not hidden, in [0, 1].
        face_min_score: Lowest score of a region that is taken for the named person's face.
        least_side_px: Faces whose box is smaller on its shorter side are left out.
        chip_px: Side of the faces that are restored and learned from, 32 to 256.
        seed: Of the split, of trainings and of the draws of intervals.
        n_draws: How often people are drawn for intervals.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:1``: where networks are trained.
        threads: Threads of a training on the CPU; its sums depend on it.
        epochs: How often a network sees every face; 0 for each attack's own number.
        max_pixels: Images with more pixels are refused before they are decoded.
        shard_size: Images in a shard, the unit of work and of resume.
        commercial_ok: Refuse a recogniser unless its licences allow commercial use.
        strangers: Whether attackers learn from photographs too that the identities do not name.

    Raises:
        ConfigError: If a value cannot be used.
    """

    settings: tuple[Setting, ...] = ()
    attacks: tuple[str, ...] = tuple(ATTACKS)
    identities: str = FOLDERS
    recogniser: str = "dlib"
    recogniser_settings: RecogniserSettings = field(default_factory=RecogniserSettings)
    gallery_share: float = 0.5
    min_score: float = 0.0
    face_min_score: float = 0.5
    least_side_px: float = 24.0
    chip_px: int = 64
    seed: int = 1
    n_draws: int = 1000
    device: str = "auto"
    threads: int = 2
    epochs: int = 0
    max_pixels: int = DEFAULT_MAX_PIXELS
    shard_size: int = 64
    commercial_ok: bool = False
    strangers: bool = False

    def __post_init__(self) -> None:
        unknown = [name for name in self.attacks if name not in ATTACKS]
        if unknown or not self.attacks:
            raise ConfigError(
                f"There is no attack {unknown[0]!r}. Choose: {', '.join(ATTACKS)}."
                if unknown
                else f"No attack is named. Choose: {', '.join(ATTACKS)}."
            )
        check_seed(self.seed)
        _check_range("gallery_share", self.gallery_share, 0.01, 0.99)
        _check_range("min_score", self.min_score, 0, 1)
        _check_range("face_min_score", self.face_min_score, 0, 1)
        _check_range("least_side_px", self.least_side_px, 1, 10_000)
        _check_range("chip_px", self.chip_px, 32, 256)
        _check_range("n_draws", self.n_draws, 100, 100_000)
        _check_range("threads", self.threads, 1, MOST_THREADS)
        _check_range("epochs", self.epochs, 0, 100_000)
        _check_range("shard_size", self.shard_size, 1, 1_000_000)
        if self.chip_px % 16:
            raise ConfigError(f"chip_px is {self.chip_px}. Give a multiple of 16.")
        slugs = [each.slug for each in self.shown]
        for slug in slugs:
            if slugs.count(slug) > 1:
                raise ConfigError(f"Two settings have the name {slug!r}. Give each its own.")

    @property
    def attacked(self) -> tuple[Setting, ...]:
        """The settings that are attacked."""
        return self.settings or tuple(method_setting(text) for text in STANDARD)

    @property
    def shown(self) -> tuple[Setting, ...]:
        """All settings in which faces are looked at: ``clear`` and ``filled`` before them."""
        both = tuple(Setting(name, method=_METHODS[name]) for name in _RESERVED)
        return (*both, *self.attacked)

    def seen_as_json(self) -> dict[str, Any]:
        """Give what decides what is seen of the faces, without what is made of it later.

        Who is on them, the models and the releases are told by what is in them: see ``looking``.
        """
        told = asdict(self)
        seen = {name: told[name] for name in _SEEN} | {
            "settings": [asdict(each) for each in self.shown],
            RESTORE_KNOWN: RESTORE_KNOWN in self.attacks,
        }
        # Only where asked for: what was seen before there were strangers can be gone on with.
        return seen | {"strangers": True} if self.strangers else seen


_SEEN = (
    "recogniser", "recogniser_settings", "gallery_share", "min_score",
    "face_min_score", "least_side_px", "chip_px", "seed", "max_pixels", "shard_size",
)  # fmt: skip


def choose_attacks(only: Sequence[str], without: Sequence[str]) -> tuple[str, ...]:
    """Give the attacks that are named, or all but those.

    Raises:
        ConfigError: If one is unknown.

    Example:
        >>> choose_attacks(["recognise"], [])
        ('recognise',)
    """
    for name in (*only, *without):
        if name not in ATTACKS:
            raise ConfigError(f"There is no attack {name!r}. Choose: {', '.join(ATTACKS)}.")
    return tuple(name for name in ATTACKS if (not only or name in only) and name not in without)


def _check_range(name: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise ConfigError(f"{name} is {value}. Give a number from {least:g} to {most:g}.")
