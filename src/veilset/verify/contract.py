# SPDX-License-Identifier: Apache-2.0
"""What the run says it did, and whether its record and the annotation set can be trusted.

Of the record, verification takes over only the method with its parameters and the policy:
what has to be hidden, and whether it is, is computed again from the originals and the
annotation set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from veilset.annotations.known import known_digest, open_known
from veilset.annotations.layer import Layer
from veilset.annotations.store import detection_of
from veilset.errors import AnnotationError, RunError
from veilset.plugins import make_obfuscator
from veilset.protocols import Obfuscator
from veilset.records.table import check_tables
from veilset.runs import read_manifest
from veilset.types import Region


@dataclass(frozen=True, slots=True)
class Contract:
    """What a release has to fulfil.

    Attributes:
        method: Card of the method as the run recorded it, parameters resolved.
        metadata: The metadata policy.
        kinds: Kinds of regions that had to be hidden; empty for all.
        min_score: Regions of a detector with a lower score were left alone.
        n_untouched: Images that the run wrote without a region.
        n_written: Images that the run wrote.
        record_sha256: Digest of the outcomes that the run recorded.
        annotations_sha256: Digest of the annotation set.
        effort: Effort with which the annotations were made, None if not known.
    """

    method: Mapping[str, Any]
    metadata: str
    kinds: tuple[str, ...]
    min_score: float
    n_untouched: int
    n_written: int
    record_sha256: str
    annotations_sha256: str
    effort: str | None

    def to_hide(self, regions: Sequence[Region]) -> tuple[Region, ...]:
        """Give the regions that had to be hidden.

        Written here again, and not asked of ``annotations.hiding``: what is wrong there would
        be wrong in the release, and verification would agree. A test holds the two together.
        """
        return tuple(
            region
            for region in regions
            if region.passes(self.min_score) and self.concerns(region.kind)
        )

    def concerns(self, kind: str) -> bool:
        """Whether the release promises anything about regions of a kind."""
        return not self.kinds or kind in self.kinds

    def make_obfuscator(self) -> Obfuscator:
        """Build the method anew, to learn which pixels it had to hide.

        Raises:
            RunError: If the installed method is not the one that the run used.
            PluginError, ConfigError: If it is not installed.
        """
        name, parameters = str(self.method["name"]), dict(self.method["parameters"])
        obfuscator = make_obfuscator(name, parameters)
        card = obfuscator.card
        if card.version != self.method["version"] or dict(card.parameters) != parameters:
            raise RunError(
                f"The output was made with version {self.method['version']} of the method "
                f"{name!r}, and version {card.version} is installed or takes other parameters. "
                "Verify with the version of Veilset that made it."
            )
        return obfuscator

    def warnings(self) -> list[dict[str, str]]:
        """Name what is weak about the release as a whole, with its reason."""
        name = self.method["name"]
        found = []
        if self.method["weak"]:
            found.append(("weak-method", f"The method {name!r} is weak: {self.method['weak']}"))
        if self.method["reversible"]:
            found.append(
                ("weak-method", f"The method {name!r} can be undone: faces can be computed back.")
            )
        if self.kinds and "face" not in self.kinds:
            found.append(
                ("faces-not-hidden", f"Only regions of kind {', '.join(self.kinds)} are hidden.")
            )
        return [{"code": code, "message": message} for code, message in found]


def read_contract(record: Path, annotations: Path) -> Contract:
    """Read what a run recorded, and check that nothing was changed since.

    Args:
        record: Record of the finished obfuscation run.
        annotations: The annotation set or redaction layer that it is said to have used.

    Raises:
        RunError: If the record is missing, unfinished or of another stage.
        DatasetError: If a table of the record was changed.
        AnnotationError: If the annotation set was changed, or is another one.
    """
    manifest = read_manifest(record)
    if manifest["stage"] != "obfuscate":
        raise RunError(f"{record} records a run of {manifest['stage']!r}, not of 'obfuscate'.")
    known = open_known(annotations)
    digest = known_digest(known)
    used = manifest["inputs"].get("annotations_sha256")
    if digest != used:
        what = "redaction layer" if isinstance(known, Layer) else "annotation set"
        raise AnnotationError(
            f"The output was made with another {what} than {annotations} "
            f"(its digest is {digest[:12]}, the run used {str(used)[:12]}). "
            "Give the one that the run used."
        )
    check_tables(record, manifest)
    if isinstance(known, Layer):
        effort = known.facts.effort
    else:
        check_tables(annotations, known.manifest)
        effort = detection_of(known.manifest).get("detector_settings", {}).get("effort")
    config, counts = manifest["config"], manifest["counts"]
    n_untouched = int(counts.get("untouched", 0))
    return Contract(
        method=config["method"],
        metadata=config["metadata"],
        kinds=tuple(config["kinds"]),
        min_score=float(config["min_score"]),
        n_untouched=n_untouched,
        n_written=n_untouched + int(counts.get("obfuscated", 0)),
        record_sha256=manifest["outputs_sha256"],
        annotations_sha256=digest,
        effort=effort,
    )
