# SPDX-License-Identifier: Apache-2.0
"""Everything that decides what a verification finds."""

from __future__ import annotations

from dataclasses import dataclass

from veilset.dataset.folder import SHARD_SIZE
from veilset.errors import ConfigError
from veilset.images.formats import DEFAULT_MAX_PIXELS
from veilset.protocols import EFFORTS, DetectorSettings

DEFAULT_LEAK_SCORE = 0.6
"""A missed face at or above this score is a leak; ``docs/verify.md`` has what was measured."""

RECHECKS = ("touched", "all", "sample", "none")
UNKNOWN_EFFORT = "balanced"
"""Effort of the second look at a release whose annotations do not name their effort."""


@dataclass(frozen=True, slots=True)
class VerifyConfig:
    """Everything that decides the verdicts.

    Attributes:
        detector: Detector plugin that searches the outputs again.
        effort: ``fast``, ``balanced`` or ``thorough``; None for one step above the effort
            of the annotation set (``thorough`` stays).
        leak_score: A face that nothing hides is a leak if its score reaches this, in
            [0, 1]; below it is listed for review.
        recheck: Which outputs are searched again: ``touched`` (those with an obfuscated
            region, and a sample of the others), ``all``, ``sample`` (a sample of both), or
            ``none``.
        recheck_sample: Share of the outputs in the sample, in [0, 1].
        recheck_minimum: The share is raised so that about this many outputs are in the
            sample, of those it is taken from.
        second_detectors: Further detector plugins that search the same outputs; None for
            every other one that is installed and needs no weight file.
        commercial_ok: Refuse detectors unless their licence allows commercial use.
        device: ``cpu`` or ``cuda``.
        precision: ``full`` or ``fast``.
        runtime: ``auto``, ``openvino`` or ``onnxruntime``.
        max_pixels: Images with more pixels are not opened; they count as not checked.
        seed: Decides which images are in the sample.
        shard_size: Images in a shard, the unit of work and of resume.

    Raises:
        ConfigError: If a value cannot be used.
    """

    detector: str = "centerface"
    effort: str | None = None
    leak_score: float = DEFAULT_LEAK_SCORE
    recheck: str = "touched"
    recheck_sample: float = 0.02
    recheck_minimum: int = 20
    second_detectors: tuple[str, ...] | None = None
    commercial_ok: bool = False
    device: str = "cpu"
    precision: str = "full"
    runtime: str = "auto"
    max_pixels: int = DEFAULT_MAX_PIXELS
    seed: int = 0
    shard_size: int = SHARD_SIZE

    def __post_init__(self) -> None:
        if self.recheck not in RECHECKS:
            raise ConfigError(f"recheck is {self.recheck!r}. Choose: {', '.join(RECHECKS)}.")
        if self.effort is not None and self.effort not in EFFORTS:
            raise ConfigError(f"effort is {self.effort!r}. Choose: {', '.join(EFFORTS)}.")
        for name in ("leak_score", "recheck_sample"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise ConfigError(f"{name} is {value}. Give a number from 0 to 1.")
        if self.recheck_minimum < 0:
            raise ConfigError(
                f"recheck_minimum is {self.recheck_minimum}. Give a whole number from 0 up."
            )

    def settings(self, effort: str, n_threads: int) -> DetectorSettings:
        """Give what a detector has to know."""
        return DetectorSettings(
            effort=effort,
            device=self.device,
            precision=self.precision,
            runtime=self.runtime,
            n_threads=n_threads,
        )


def effort_above(effort: str | None) -> str:
    """Give the effort with which a release made at some effort is searched again.

    Args:
        effort: Effort of the release; None if it is not known.

    Example:
        >>> [effort_above(each) for each in ("fast", "balanced", "thorough", None)]
        ['balanced', 'thorough', 'thorough', 'balanced']
    """
    if effort not in EFFORTS:
        return UNKNOWN_EFFORT
    return EFFORTS[min(EFFORTS.index(effort) + 1, len(EFFORTS) - 1)]
