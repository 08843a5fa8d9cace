# SPDX-License-Identifier: Apache-2.0
"""Whether another machine has the packages of the one that sent the work."""

from __future__ import annotations

from collections.abc import Mapping

from veilset.errors import RunError


def check_versions(wanted: Mapping[str, str], found: Mapping[str, str], node: str) -> None:
    """Refuse a machine whose packages could give other bytes.

    Args:
        wanted: Versions by package, as ``packages.package_versions`` gives them at the sender.
        found: The same on this machine.
        node: Name of this machine, for messages.

    Raises:
        RunError: If they differ; the message names the first package that does.
    """
    for name in sorted(wanted.keys() | found.keys()):
        if wanted.get(name) != found.get(name):
            raise RunError(
                f"The node {node} has {name} {found.get(name, 'not installed')}, this machine "
                f"{wanted.get(name, 'not installed')}: results could differ. Install the same "
                "packages on every node."
            )
