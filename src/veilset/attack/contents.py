# SPDX-License-Identifier: Apache-2.0
"""What a look at faces depends on, by its content: a name or a place may hold another later."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from veilset.attack.config import RESTORE_KNOWN, AttackConfig
from veilset.plugins import make_obfuscator
from veilset.protocols import Recogniser
from veilset.records.places import record_folder
from veilset.runs import FINISHED, STARTED


def as_begun(folder: Path, config: AttackConfig) -> AttackConfig:
    """Go on with a look that computed faces back, though that attack is not asked for now.

    Args:
        folder: Of the look; need not be there.
        config: What is asked for now.
    """
    try:
        before = json.loads((folder / STARTED).read_bytes())["config"].get(RESTORE_KNOWN)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return config
    if not before or RESTORE_KNOWN in config.attacks:
        return config
    return replace(config, attacks=(*config.attacks, RESTORE_KNOWN))


def contents(config: AttackConfig, recogniser: Recogniser) -> dict[str, str]:
    """Give digests and versions of models, methods and releases, for the record of a look.

    A release at a URL, or one without a record of Veilset, is known by its place alone.
    """
    found = {f"recogniser_sha256 {card.name}": card.sha256 for card in recogniser.cards}
    for each in config.shown:
        if each.method:
            card = make_obfuscator(each.method, each.parameters).card
            parameters = dict(card.parameters)
            # The digest of a model says which it is, wherever it lies.
            if parameters.get("model_sha256"):
                del parameters["model"]
            told = {"version": card.version, "parameters": parameters}
            found[f"method {each.name}"] = json.dumps(told, sort_keys=True)
        elif each.release:
            found[f"release_sha256 {each.name}"] = _release_sha256(each.release)
    return found


def _release_sha256(place: str) -> str:
    """Give the digest that the record of a release has of its files, "" where there is none."""
    if "://" in place:
        return ""
    path = record_folder(place) / "obfuscate" / FINISHED
    try:
        return str(json.loads(path.read_bytes())["outputs_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
