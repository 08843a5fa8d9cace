# SPDX-License-Identifier: Apache-2.0
"""Where networks look, in numbers: the table of Figure 5 (a), whose pictures stay private."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from veilset.study.layout import open_table
from veilset.study.tables import Cell, Column, Table, count_column, text_column

FORMAT = "veilset-study-saliency/1"
PAIRS = "pairs.parquet"

_NEEDED = ("mass_on_object_a", "mass_on_object_b")


def saliency_table(folder: Path) -> Table | None:
    """Give how much of the saliency maps lies on the object, in both settings.

    Args:
        folder: Where ``veilset study saliency`` wrote its pairs.

    Returns:
        None if there is none.

    Raises:
        RunError: If the file is damaged.
    """
    path = folder / PAIRS
    if not path.exists():
        return None
    pairs = open_table(path, FORMAT)
    known = pairs
    for column in _NEEDED:
        known = known.filter(pc.is_valid(known[column]))
    rows = [_row(pairs, known, side) for side in "ab"] if pairs.num_rows else []
    columns = (
        text_column("setting", "Setting"), Column("p", "p of the truth", "%", 1),
        Column("mass", "map on the object", "%", 1), count_column("n", "images"),
        count_column("n_pairs", "pairs drawn"),
    )  # fmt: skip
    note = (
        "Mean over the pairs that were drawn. They are chosen, as those of the paper are: images "
        "that the first network names rightly and the second does not, the largest falls first. "
        "What is seen in them is no estimate for other images. Masses are of the pairs whose "
        "image has boxes of its object."
    )
    title = "Where networks look, in chosen images"
    return Table("saliency", title, note, columns, tuple(rows))


def _row(pairs: pa.Table, known: pa.Table, side: str) -> dict[str, Cell]:
    return {
        "setting": pairs[f"setting_{side}"][0].as_py(),
        "p": pc.mean(pairs[f"p_{side}"]).as_py(),
        "mass": pc.mean(known[f"mass_on_object_{side}"]).as_py(),
        "n": known.num_rows,
        "n_pairs": pairs.num_rows,
    }
