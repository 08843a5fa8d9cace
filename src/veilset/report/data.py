# SPDX-License-Identifier: Apache-2.0
"""The machine-readable twin of the page: the same numbers as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from veilset.files import finite
from veilset.report.attacked import attack_data
from veilset.report.audited import audit_data
from veilset.report.background import find_bottleneck, models_of
from veilset.report.contact_sheet import Thumbnail
from veilset.report.facts import Failures, Searched, StageRecord, Verified
from veilset.report.gather import Facts
from veilset.report.reproduce import commands
from veilset.report.sections import measurements_of
from veilset.report.studied import study_data
from veilset.report.wording import Headline

FORMAT = "veilset-report/1"


def render_data(facts: Facts, verdict: Headline, thumbnails: Sequence[Thumbnail]) -> bytes:
    """Give the numbers of a report as JSON; the same bytes for the same arguments."""
    bottleneck = find_bottleneck(facts.stages.values())
    produced = facts.produced
    value = {
        "format": FORMAT,
        "source": facts.source,
        "output": facts.output,
        "verdict": {"code": verdict.code, "title": verdict.title, "meaning": verdict.meaning},
        "stages": {name: _stage(stage) for name, stage in facts.stages.items()},
        "searched": _searched(facts.searched) if facts.searched else None,
        "produced": {
            "n_images": produced.n_images,
            "outcomes": dict(sorted(produced.outcomes.items())),
            "n_regions": produced.n_regions,
            "n_bytes": produced.n_bytes,
            "substituted": dict(sorted(produced.substituted.items())),
        }
        if produced
        else None,
        "failures": _failures(facts.failures) if facts.failures else None,
        "verified": _verified(facts.verified) if facts.verified else None,
        "measurements": measurements_of(facts),
        "audit": audit_data(facts.audited),
        "study": study_data(facts.studied),
        "attack": attack_data(facts.attacked),
        "models": [{"stage": stage, **model} for stage, model in models_of(facts)],
        "bottleneck": asdict(bottleneck) if bottleneck else None,
        "shown": [each.image_id for each in thumbnails],
        "commands": commands(facts),
    }
    text = json.dumps(finite(value), indent=2, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return (text + "\n").encode("ascii")


def _stage(stage: StageRecord) -> dict[str, Any]:
    shown = (
        "run_id", "config", "counts", "seconds", "wall_s", "n_images", "n_shards", "finished_at",
        "outputs_sha256", "packages", "machine",
    )  # fmt: skip
    manifest = {key: stage.manifest[key] for key in shown if key in stage.manifest}
    return {"state": stage.state.value, **manifest}


def _searched(found: Searched) -> dict[str, Any]:
    return {
        "n_images": found.n_images,
        "statuses": dict(sorted(found.statuses.items())),
        "n_found_none": found.n_found_none,
        "n_regions": found.n_regions,
        "kinds": dict(sorted(found.kinds.items())),
        "origins": dict(sorted(found.origins.items())),
        "histograms": {
            "shorter_side": found.face_size_px.to_json("px"),
            "score": found.score.to_json(""),
            "regions_in_image": found.per_image.to_json("regions"),
        },
    }


def _failures(failures: Failures) -> dict[str, Any]:
    return {
        "n": failures.first.n,
        "by_reason": dict(sorted(failures.by_reason.items())),
        "first": [asdict(item) for item in failures.first.items],
    }


def _verified(found: Verified) -> dict[str, Any]:
    return {
        "verdicts": dict(sorted(found.verdicts.items())),
        "n_checked": found.n_checked,
        "findings": [
            {"level": level, "code": code, "n": n}
            for (level, code), n in sorted(found.findings.items())
        ],
        "n_against": found.against.n,
        "against": [asdict(item) for item in found.against.items],
        "n_to_review": found.to_review.n,
        "to_review": [asdict(item) for item in found.to_review.items],
        "looked_again": {why or "no": n for why, n in sorted(found.looked_again.items()) if n},
        "n_still_detected": found.n_still_detected,
        "n_drawn_detected": found.n_drawn_detected,
        "largest_survival": found.survival.to_json(""),
    }
