# SPDX-License-Identifier: Apache-2.0
"""What attacks came to: rows of a table, and lines of figures, kept as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from veilset.attack.identification import Identification
from veilset.attack.resampling import Curve
from veilset.attack.retrieval import Retrieval
from veilset.attack.verification import Verification
from veilset.errors import RunError
from veilset.files import write_atomically
from veilset.runs import json_bytes
from veilset.types import Direction, Measurement

FORMAT = "veilset-attack-outcome/1"


@dataclass(frozen=True, slots=True)
class Row:
    """One number.

    Attributes:
        setting: Name of the setting.
        attack: Name of the attack; ``similarity`` for what obfuscation left of the picture.
        protocol: Which faces were compared with which: ``clear-to-clear``, ``clear-to-obfuscated``
            (the gallery is clear), ``obfuscated-to-obfuscated``; "" for others.
        measure: What was measured, as ``rank-1``.
        value, low, high: The estimate and the ends of its 95 % interval; None if it could not
            be measured.
        n: Number of probes or photographs behind it.
        chance: What guessing reaches; None where there is no such level.
        direction: ``lower`` where less protects more.
        note: Why it could not be measured, or what has to be known of it.
    """

    setting: str
    attack: str
    protocol: str
    measure: str
    value: float | None
    low: float | None
    high: float | None
    n: int
    chance: float | None = None
    direction: str = Direction.LOWER.value
    note: str = ""

    @property
    def is_at_chance(self) -> bool:
        """Whether the interval holds what guessing reaches."""
        if self.chance is None or self.low is None or self.high is None:
            return False
        return self.low <= self.chance <= self.high


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attack came to in one setting.

    Attributes:
        setting: Name of the setting.
        attack: Name of the attack.
        rows: Its numbers.
        curves: Lines of figures by name, each with ``x``, ``y``, ``low`` and ``high``.
        facts: What else is to be known: settings of a training, seconds.
    """

    setting: str
    attack: str
    rows: tuple[Row, ...]
    curves: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Pen:
    """Writes rows of one attack in one setting.

    Attributes:
        setting, attack, protocol: See ``Row``.
    """

    setting: str
    attack: str
    protocol: str = ""

    def row(self, measurement: Measurement, chance: float | None = None, note: str = "") -> Row:
        """Make a row of a measurement; its note tells the unit, too."""
        unit = f"in {measurement.unit}" if measurement.unit else ""
        return Row(
            self.setting, self.attack, self.protocol, measurement.name, measurement.value,
            measurement.low, measurement.high, measurement.n, chance,
            measurement.direction.value, "; ".join(filter(None, (note, unit))),
        )  # fmt: skip

    def identification(self, found: Identification) -> list[Row]:
        """Make rows of rank-k."""
        return [self.row(each.measurement, found.chance[k]) for k, each in found.hits.items()]

    def retrieval(self, found: Retrieval) -> list[Row]:
        """Make the row of the mean average precision."""
        return [self.row(found.mean_ap.measurement, found.chance)]

    def verification(self, found: Verification) -> list[Row]:
        """Make rows of AUC, EER, TAR at each FAR, and the accuracy at the threshold."""
        rows = [
            self.row(found.auc.measurement, 0.5),
            self.row(found.eer.measurement, 0.5),
        ]
        n = found.auc.measurement.n
        for each in found.tar_at_far:
            name = f"TAR at FAR {each.far:g}"
            if each.tar is None:
                rows.append(
                    Row(self.setting, self.attack, self.protocol, name, None, None, None, n,
                        each.far, note=each.reason)
                )  # fmt: skip
            else:
                rows.append(self.row(replace(each.tar.measurement, name=name), each.far))
        if found.balanced_accuracy is not None:
            rows.append(self.row(found.balanced_accuracy.measurement, 0.5))
        return rows


def curve_values(curve: Curve) -> dict[str, list[float]]:
    """Give a line with its band as lists, rounded to a millionth."""
    return {
        name: [round(float(value), 6) for value in getattr(curve, name)]
        for name in ("x", "y", "low", "high")
    }


def with_facts(outcome: Outcome, facts: Mapping[str, Any], rows: Sequence[Row] = ()) -> Outcome:
    """Add facts and rows to an outcome."""
    return replace(outcome, facts={**outcome.facts, **facts}, rows=(*outcome.rows, *rows))


def write_outcome(path: Path, outcome: Outcome) -> None:
    """Keep what an attack came to, whole or not at all."""
    told = {"format": FORMAT, **asdict(outcome)}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json_bytes(told))


def read_outcome(path: Path) -> Outcome | None:
    """Read what an attack came to; None if it was not kept.

    Raises:
        RunError: If the file is damaged.
    """
    try:
        told = json.loads(path.read_bytes())
        if told["format"] != FORMAT:
            raise ValueError(told["format"])
        rows = tuple(Row(**row) for row in told["rows"])
        curves, facts = (dict(told[name].items()) for name in ("curves", "facts"))
        return Outcome(told["setting"], told["attack"], rows, curves, facts)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunError(f"{path} is damaged. Delete it, then run the attack again.") from error
