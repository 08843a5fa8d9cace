# SPDX-License-Identifier: Apache-2.0
"""What a network gives for a black square: whether a file is of the kind that it is taken for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from veilset.errors import ConfigError
from veilset.networks.runtime import Session, reason


def first_look(
    session: Session, side_px: int, *, origin: str, kind: str
) -> list[NDArray[np.float32]]:
    """Run a network whose weights the user may have named, once, before it is used.

    Args:
        session: The network.
        side_px: Side of the square.
        origin: Where its weights come from, for the message.
        kind: What it has to be, for the message.

    Returns:
        A copy of each output.

    Raises:
        ConfigError: If it cannot be run on such a square.
    """
    try:
        with session.run(np.zeros((1, side_px, side_px, 3), np.uint8)) as outputs:
            return [np.array(output) for output in outputs]
    except Exception as error:  # exceptions of the runtimes share no base but Exception
        raise ConfigError(
            f"The weight file {origin} is not a {kind}: it cannot take a picture of {side_px} x "
            f"{side_px} px ({reason(error).rstrip('.')}). Choose the detector that fits the file."
        ) from error
