# SPDX-License-Identifier: Apache-2.0
"""Stage 3: which attributes the new face is to have. ``ppas`` has the fourth way.

The network learned from real faces: combinations that no face has, such as black and blond hair
at once, can be asked for and are not prevented here, as in the report. What comes out then is
whatever the network makes of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from veilset.errors import ConfigError
from veilset.synthesize.celeba import Attributes

BoolVector = NDArray[np.bool_]

FIXED_FOUR = ("Pointy_Nose", "Smiling", "Young", "Big_Nose")
"""The report's four, inverted together."""

GENDER_LINKED = (
    # Beards and what goes with them: of the women in CelebA's list next to none has one.
    *("5_o_Clock_Shadow", "Goatee", "Mustache", "No_Beard", "Sideburns"),
    # Make-up and adornment: their correlation with Male is below -0.25.
    *("Heavy_Makeup", "Wearing_Earrings", "Wearing_Lipstick", "Wearing_Necklace"),
    # 11 in 100 men and no woman.
    "Wearing_Necktie",
    # Of 100 women 10, of 100 men 0.3; a kind of make-up.
    "Rosy_Cheeks",
    # 17 in 1000 men, no woman.
    "Bald",
)
"""What tells the gender of a face that ``Male`` does not change.

Measured on the 3,528 faces of 165 people of ``celeba_faces``; an attribute is listed if fewer
than 1 in 200 faces of one gender has it (or, for No_Beard, lacks it) or if it is make-up or
jewellery whose correlation with Male is beyond 0.25. Others that differ between the genders
(Arched_Eyebrows, Attractive, Big_Nose, Young, ...) are common in both, and stay free.
"""

FAIR = 0.5


def editable_attributes(names: Sequence[str], *, keep_gender: bool = True) -> BoolVector:
    """Say which attributes may be changed.

    Args:
        names: K names.
        keep_gender: Whether ``Male`` and the attributes of ``GENDER_LINKED`` stay as they are.

    Returns:
        ``(K,)`` bool.

    Example:
        >>> editable_attributes(["Male", "Smiling", "Mustache"]).tolist()
        [False, True, False]
    """
    kept = {"Male", *GENDER_LINKED} if keep_gender else set()
    return np.array([name not in kept for name in names], dtype=np.bool_)


def inverted(present: ArrayLike, chosen: ArrayLike) -> Attributes:
    """Invert the chosen attributes of every face.

    Args:
        present: ``(N, K)`` bool.
        chosen: ``(K,)`` bool: all that are editable, or those of ``named``.

    Example:
        >>> inverted([[True, False, True]], [True, True, False]).tolist()
        [[False, True, True]]
    """
    table, columns = checked(present, chosen)
    return table ^ columns


def named(names: Sequence[str], chosen: Sequence[str] = FIXED_FOUR) -> BoolVector:
    """Choose attributes by their names, for ``inverted``.

    Raises:
        ConfigError: If a name is not there.

    Example:
        >>> named(["Young", "Male"], ["Young"]).tolist()
        [True, False]
    """
    missing = [name for name in chosen if name not in names]
    if missing:
        raise ConfigError(
            f"No attribute is named {missing[0]!r}. Known: {', '.join(names)}. Give one of these."
        )
    return np.array([name in chosen for name in names], dtype=np.bool_)


def drawn_at_random(
    present: ArrayLike,
    editable: ArrayLike,
    *,
    seed: int,
    shares: ArrayLike | None = None,
) -> Attributes:
    """Draw every editable attribute of every face anew, whatever it was.

    Args:
        present: ``(N, K)`` bool.
        editable: ``(K,)`` bool.
        seed: Of the draws.
        shares: ``(K,)`` in [0, 1], how often each attribute is to be there, such as in the
            training images; left out, a fair coin decides.

    Raises:
        ConfigError: If the arguments do not go together.

    Example:
        >>> drawn_at_random([[True, False]], [False, True], seed=0, shares=[0, 1]).tolist()
        [[True, True]]
    """
    table, columns = checked(present, editable)
    chances = np.full(table.shape[1], FAIR) if shares is None else np.asarray(shares, np.float64)
    if chances.shape != columns.shape or not ((chances >= 0) & (chances <= 1)).all():
        raise ConfigError(f"Shares of shape {chances.shape} cannot be used. Give (K,) in [0, 1].")
    drawn = np.random.default_rng(seed).random(table.shape) < chances
    return np.where(columns, drawn, table)


def checked(present: ArrayLike, columns: ArrayLike) -> tuple[Attributes, BoolVector]:
    """Give attributes and a choice of columns as arrays.

    Raises:
        ConfigError: If they are not ``(N, K)`` and ``(K,)``.
    """
    table, chosen = np.asarray(present, np.bool_), np.asarray(columns, np.bool_)
    if table.ndim != 2 or chosen.shape != table.shape[1:]:
        raise ConfigError(
            f"Attributes of shape {table.shape} and a choice of shape {chosen.shape} do not go "
            "together. Give (N, K) and (K,)."
        )
    return table, chosen
