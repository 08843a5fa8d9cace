# SPDX-License-Identifier: Apache-2.0
"""From verdicts on images to a verdict on the release."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from veilset.engine.shard_work import REUSED
from veilset.records.verdicts import MISSED_FACE, ImageVerdict, Level
from veilset.types import ModelCard
from veilset.verify.contract import Contract
from veilset.verify.estimate import missed_face_rate


def count_verdict(row: ImageVerdict) -> dict[str, int]:
    """Give what one image adds to the counts of the run.

    Counts are of images, but for ``n_regions``, ``still_detected`` (detections inside
    obfuscated regions), ``drawn_detected`` (inside regions in which a face was drawn, which is
    no finding), ``missed_leak`` and ``missed_review`` (detections that nothing hides).
    """
    counts = Counter({row.verdict.value: 1})
    counts.update(f"finding {code}" for code in {finding.code for finding in row.findings})
    missed = [finding.level for finding in row.findings if finding.code == MISSED_FACE]
    which = "touched" if row.n_regions else "untouched"
    counts.update(
        {
            "n_regions": row.n_regions,
            "still_detected": row.n_still_detected,
            "drawn_detected": row.n_drawn_detected,
            "missed_leak": missed.count(Level.LEAK),
            "missed_review": missed.count(Level.REVIEW),
            f"searched_{row.looked_again}": bool(row.looked_again),
            f"{which}_searched": bool(row.looked_again),
            f"{which}_with_missed": Level.LEAK in missed,
        }
    )
    return {name: int(value) for name, value in counts.items() if value}


def describe_release(
    reports: Iterable[Mapping[str, Any]],
    contract: Contract,
    verification: Mapping[str, Any],
    cards: Sequence[ModelCard],
) -> dict[str, Any]:
    """Say what the release is and what was found; JSON values, the same for the same inputs.

    Args:
        reports: The ledger of the verification.
        contract: What the release had to fulfil.
        verification: Settings of the verification, resolved.
        cards: Models that searched it.
    """
    digests = {"annotations": contract.annotations_sha256, "record": contract.record_sha256}
    return {
        **_counted(reports, digests),
        "method": _published(contract.method),
        "metadata": contract.metadata,
        "kinds": list(contract.kinds),
        "min_score": contract.min_score,
        "warnings": contract.warnings(),
        "models": [asdict(card) for card in cards],
        "verification": dict(verification),
    }


def _published(method: Mapping[str, Any]) -> dict[str, Any]:
    """Give a method as others may see it: files by name, without the folders of this machine.

    Example:
        >>> _published({"name": "m", "parameters": {"model": "/home/ann/g.onnx", "enlarge": 0.1}})
        {'name': 'm', 'parameters': {'model': 'g.onnx', 'enlarge': 0.1}}
    """
    parameters = {
        name: Path(value).name if isinstance(value, str) else value
        for name, value in method["parameters"].items()
    }
    return {**method, "parameters": parameters}


def recount_release(
    release: Mapping[str, Any], reports: Iterable[Mapping[str, Any]], record_sha256: str
) -> dict[str, Any]:
    """Say of a release from which images were withdrawn what is left of it.

    Args:
        release: What was said before.
        reports: The ledger of the verification as it is now.
        record_sha256: Digest of the outcomes as they are now.
    """
    return {**release, **_counted(reports, {**release["inputs"], "record": record_sha256})}


def _counted(reports: Iterable[Mapping[str, Any]], digests: Mapping[str, str]) -> dict[str, Any]:
    """Give all that follows from the counts."""
    counts: Counter[str] = Counter()
    for entry in reports:
        counts.update(entry["counts"])
    measured = [
        missed_face_rate(which, counts[f"{which}_with_missed"], n_searched, digests)
        for which in ("untouched", "touched")
        if (n_searched := counts[f"{which}_searched"])
    ]
    return {
        "overall": overall_verdict(counts),
        # How little work it was says nothing of the release.
        "counts": {name: n for name, n in sorted(counts.items()) if n and name != REUSED},
        "measurements": [asdict(each) for each in measured],
        "inputs": dict(digests),
    }


def overall_verdict(counts: Mapping[str, int]) -> str:
    """Give the verdict on a release from the counts of its images.

    Example:
        >>> overall_verdict({"passed": 7, "review": 1, "absent": 2})
        'passed'
    """
    if counts.get("leak"):
        return "leaks"
    return "errors" if counts.get("error") else "passed"
