# SPDX-License-Identifier: Apache-2.0
"""What was done, with what and how fast: the sections of the page without results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from veilset.annotations.store import detection_of
from veilset.engine.steps import QUEUE, find_slow_step, working
from veilset.pages.figures import share_bar
from veilset.pages.markup import Content, Markup, el
from veilset.pages.models import models_table
from veilset.pages.parts import (
    card,
    count,
    folded,
    moment,
    note,
    pairs,
    percent,
    plain,
    seconds,
    section,
    settings,
    table,
)
from veilset.report.audited import audit_models
from veilset.report.facts import StageRecord, State
from veilset.report.gather import Facts
from veilset.report.reproduce import commands
from veilset.report.wording import LIMITS, POLICIES

TITLES = {
    "detect": "Detection",
    "import": "Import",
    "review": "Review",
    "review-expert": "Review by experts",
    "look": "Estimates of an audit",
    "obfuscate": "Obfuscation",
    "verify": "Verification",
}


@dataclass(frozen=True, slots=True)
class Bottleneck:
    """Where most of the time went.

    Attributes:
        stage: Stage with the longest wall-clock time.
        share: Its share of the wall-clock time of all stages, in [0, 1].
        step: The step that held it up, "" if none was timed; see ``engine.steps``.
        step_share: Share of that step in the thread-seconds of all that work, or of all that
            wait, in [0, 1].
        is_wait: Whether that step waits for storage.
    """

    stage: str
    share: float
    step: str
    step_share: float
    is_wait: bool


def done_section(facts: Facts) -> Markup:
    """Tell what was asked for, resolved to what was used."""
    cards = [
        card(TITLES[stage.kind], *_DESCRIBE[stage.kind](stage))
        if stage.is_finished
        else card(TITLES[stage.name], note(_absent(stage)))
        for stage in facts.stages.values()
    ]
    return section("done", "What was done", el("div", *cards, class_="cards"))


def _absent(stage: StageRecord) -> str:
    if stage.state is State.UNFINISHED:
        return "Started and not finished. Run the same command again to finish it."
    return "Not on record."


def _describe_detection(stage: StageRecord) -> Iterator[Content]:
    config = stage.config
    used: Mapping[str, Any] = config.get("detector_settings", {})
    yield pairs([("detector", plain(config.get("detector"))), *settings(used)])


def _describe_import(stage: StageRecord) -> Iterator[Content]:
    yield note("Nobody searched the images here: the regions come from a file.")
    yield pairs(settings(stage.config))


def _describe_review(stage: StageRecord) -> Iterator[Content]:
    counts = stage.manifest["counts"]
    n_reviewed, n_kept = counts.get("reviewed", 0), counts.get("kept", 0)
    kept = f"{count(n_kept, 'image')} kept the regions from before"
    yield el("p", f"People decided on {count(n_reviewed, 'image')}; {kept}.")
    chosen = json.loads(stage.config.get("settings", "{}"))
    shown = ("replicas", "quorum", "gold_per_batch", "gold_rule", "lives")
    yield pairs([(name.replace("_", " "), plain(chosen.get(name))) for name in shown])
    yield from _began_with(stage)


def _describe_look(stage: StageRecord) -> Iterator[Content]:
    yield note("The regions of an annotation set, with what an audit estimated from the images.")
    asked = ("demographics", "classify", "nsfw")
    yield pairs([(name, plain(stage.config.get(name))) for name in asked])
    yield from _began_with(stage)


def _began_with(stage: StageRecord) -> Iterator[Content]:
    found = detection_of(stage.manifest)
    if found:
        used: Mapping[str, Any] = found.get("detector_settings", {})
        rows = pairs([("detector", plain(found.get("detector"))), *settings(used)])
        yield folded("What they began with", rows)


def _describe_obfuscation(stage: StageRecord) -> Iterator[Content]:
    method: Mapping[str, Any] = stage.config.get("method", {})
    yield el("p", method.get("summary", ""))
    if method.get("reversible"):
        yield el("p", "This method is reversible: the faces can be computed back.", class_="alert")
    if method.get("weak"):
        yield el("p", f"Weak: {method['weak']}", class_="alert")
    if method.get("draws_faces"):
        yield note(
            "This method draws faces. One that can be seen in an obfuscated region shows nobody "
            "who was there; nothing tells it from a face that was missed but the annotation set."
        )
    limit = method.get("max_survival")
    contract = f"at most {percent(limit)} of a region's detail" if limit is not None else "not set"
    policy = stage.config.get("metadata", "")
    yield pairs(
        [
            ("method", f"{method.get('name', '')}, version {method.get('version', '')}"),
            *settings(method.get("parameters", {})),
            ("contract", contract),
            ("kinds hidden", plain(stage.config.get("kinds") or "all")),
            ("lowest score hidden", plain(stage.config.get("min_score"))),
            ("seed", plain(stage.config.get("seed"))),
            ("lossy WebP, AVIF", f"quality {plain(stage.config.get('quality'))}"),
            ("metadata policy", policy),
        ]
    )
    if policy in POLICIES:
        yield note(POLICIES[policy])
    if method.get("source"):
        yield note(f"After: {method['source']}")


def _describe_verification(stage: StageRecord) -> Iterator[Content]:
    skip = {"detectors", "max_pixels", "shard_size"}
    shown = {key: value for key, value in stage.config.items() if key not in skip}
    yield pairs([("detectors", plain(list(stage.config.get("detectors", {})))), *settings(shown)])
    skipped: Mapping[str, str] = stage.manifest.get("extra", {}).get("skipped_detectors", {})
    if skipped:
        reasons = [el("p", f"{name}: {why}") for name, why in sorted(skipped.items())]
        yield folded(count(len(skipped), "detector") + " not used", *reasons)


_DESCRIBE = {
    "detect": _describe_detection,
    "import": _describe_import,
    "review": _describe_review,
    "review-expert": _describe_review,
    "look": _describe_look,
    "obfuscate": _describe_obfuscation,
    "verify": _describe_verification,
}


def models_section(facts: Facts) -> Markup | str:
    """Tell where the models come from and what may be done with them."""
    used: list[tuple[Mapping[str, Any], str]] = [
        (model, TITLES[stage]) for stage, model in models_of(facts)
    ]
    used += [(model, f"Audit: {model['used_for']}") for model in audit_models(facts.audited)]
    found = models_table("Models that were used", used)
    return section("models", "Models", found) if found else ""


def models_of(facts: Facts) -> list[tuple[str, dict[str, Any]]]:
    """Give the model cards of the finished stages, with the stage of each."""
    return [
        (stage.name, model)
        for stage in facts.stages.values()
        for model in stage.manifest.get("models", [])
    ]


def find_bottleneck(stages: Iterable[StageRecord]) -> Bottleneck | None:
    """Name the slowest stage and its dearest step; None if no time was recorded."""
    finished = [stage.manifest for stage in stages if stage.is_finished]
    total = sum(each["wall_s"] for each in finished)
    if not total:
        return None
    slowest = max(finished, key=lambda each: float(each["wall_s"]))
    slow = find_slow_step(slowest["seconds"])
    return Bottleneck(
        stage=slowest["stage"],
        share=slowest["wall_s"] / total,
        step=slow.step if slow else "",
        step_share=slow.share if slow else 0.0,
        is_wait=bool(slow and slow.is_wait),
    )


def time_section(facts: Facts) -> Markup | str:
    """Tell how long the stages took and where the time went."""
    finished = [stage for stage in facts.stages.values() if stage.is_finished]
    worst = find_bottleneck(finished)
    if worst is None:
        return ""
    total = sum(stage.manifest["wall_s"] for stage in finished)
    text = f"The bottleneck is {TITLES[worst.stage].lower()}: {percent(worst.share)} of the time"
    if worst.is_wait:
        text += f"; the cores were idle in it, waiting for storage (step “{worst.step}”)"
    elif worst.step:
        text += f"; in it, the step “{worst.step}” used {percent(worst.step_share)} of the work"
    n_images = max(stage.manifest["n_images"] for stage in finished)
    rate = f" All stages together: {seconds(total)}, {n_images / total:.1f} images/s."
    rows = [_stage_row(stage.manifest, total) for stage in finished]
    return section(
        "time",
        "Time",
        el("p", f"{text}.{rate}"),
        table(
            "Wall-clock time by stage",
            ("Stage", "Images", "Time", "Images/s", "Cores busy", "Share", ""),
            rows,
            numbers=(1, 2, 3, 4, 5),
        ),
        folded("Steps of the stages", _steps(finished)),
        note(
            "Steps are thread-seconds: they run on several threads at once and add up to more than "
            "the wall-clock time. Read and write wait for storage, the others keep a core busy: "
            "cores busy is their sum by the time of the stage. The time of this report is not in "
            "it."
        ),
    )


def _stage_row(manifest: Mapping[str, Any], total: float) -> tuple[Content, ...]:
    wall_s = manifest["wall_s"]
    busy = sum(working(manifest["seconds"]).values())
    return (
        TITLES[manifest["stage"]],
        manifest["n_images"],
        seconds(wall_s),
        f"{manifest['n_images'] / wall_s:,.1f}" if wall_s else "–",
        f"{busy / wall_s:.1f}" if wall_s else "–",
        percent(wall_s / total),
        share_bar(wall_s / total),
    )


def _steps(finished: Iterable[StageRecord]) -> Markup:
    rows = []
    for stage in finished:
        spent = {step: value for step, value in stage.manifest["seconds"].items() if step != QUEUE}
        total = sum(spent.values()) or 1.0
        for step, value in sorted(spent.items(), key=lambda item: (-item[1], item[0])):
            share = value / total
            each = 1000 * value / max(stage.manifest["n_images"], 1)
            bar = share_bar(share, strong=value == max(spent.values()))
            rows.append(
                (
                    f"{TITLES[stage.kind]}: {step}",
                    seconds(value),
                    f"{each:.2f}",
                    percent(share),
                    bar,
                )
            )
    headers = ("Step", "Thread-seconds", "ms for an image", "Share of stage", "")
    return table("Work by step", headers, rows, numbers=(1, 2, 3))


def limits_section() -> Markup:
    """Tell what this release does not promise."""
    items = [el("li", el("b", title), " ", text) for title, text in LIMITS]
    return section("limits", "What this does not promise", el("ul", *items, class_="limits"))


def reproduce_section(facts: Facts) -> Markup:
    """Tell how to make the release again, and with what it was made."""
    finished = [stage.manifest for stage in facts.stages.values() if stage.is_finished]
    rows = [
        (
            TITLES[each["stage"]],
            el("code", each["run_id"]),
            moment(each["finished_at"]),
            el("code", each["outputs_sha256"][:16], title=each["outputs_sha256"]),
            f"{each['machine']['system']}, {count(each['machine']['n_cores'] or 0, 'core')}, "
            f"Python {each['machine']['python']}",
        )
        for each in finished
    ]
    return section(
        "reproduce",
        "Make it again",
        note(
            "The same data, settings, versions and kind of processor give the same digests, "
            "with any number of threads."
        ),
        el("ol", [el("li", el("code", line)) for line in commands(facts)], class_="commands"),
        table("Runs", ("Stage", "Run", "Finished", "Digest of results", "Machine"), rows),
        folded("Versions", _versions(finished)),
    )


def _versions(finished: list[Mapping[str, Any]]) -> Markup:
    names = sorted({name for each in finished for name in each["packages"]})
    headers = ["Package", *(TITLES[each["stage"]] for each in finished)]
    rows = [[name, *(each["packages"].get(name, "–") for each in finished)] for name in names]
    return table("Packages whose version can change a result", headers, rows)
