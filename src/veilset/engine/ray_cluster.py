# SPDX-License-Identifier: Apache-2.0
"""Join a Ray cluster without a word to anybody else, and count how many actors it holds."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

from veilset.engine.threads import usable_cores
from veilset.errors import ConfigError, MissingExtraError, RunError
from veilset.protocols import EngineSettings

# Ray reports its use to its makers unless it is told not to, and from then on hides the GPUs
# of actors that did not ask for one, with a warning.
_SILENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DISABLE_IMPORT_WARNING": "1",
}
_SET_BY_RAY = ("PYTHONBREAKPOINT",)
_CONNECT_S = 10.0
# The first bytes of HTTP/2, which gRPC speaks, and an empty frame of settings. The answer is such
# a frame, with its kind in the fourth byte.
_HTTP2_SETTINGS = b"\x04"
_HTTP2_HELLO = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\0\0\0" + _HTTP2_SETTINGS + b"\0" * 5
# Shards are names, results are files: next to nothing passes through Ray's own memory.
_OBJECT_STORE_BYTES = 200_000_000


def import_ray() -> Any:
    """Import Ray.

    Raises:
        MissingExtraError: If it is not installed.
    """
    try:
        with _silent_environment():
            import ray
    except ImportError as error:
        raise MissingExtraError(
            "The Ray engine is not installed. Install it with: pip install 'veilset[ray]'"
        ) from error
    return ray


def check_address(address: str) -> str:
    """Give the address to join; "" means ``auto``.

    Raises:
        ConfigError: If it is none that can be joined.
    """
    address = address or "auto"
    if address in ("auto", "local") or re.fullmatch(r"[^:/\s]+:\d{1,5}", address):
        return address
    if address.startswith("ray://"):
        raise ConfigError(
            f"--address {address} is one of Ray's clients. Run the command on a machine of the "
            "cluster, with --address auto."
        )
    raise ConfigError(f"--address is {address!r}. Give auto, local, or HOST:PORT.")


@contextmanager
def joined(ray: Any, settings: EngineSettings) -> Iterator[None]:
    """Be part of the cluster while the block lasts; one that the caller has joined is used.

    Raises:
        RunError: If there is no cluster, or it cannot be joined.
    """
    if ray.is_initialized():
        yield
        return
    options: dict[str, Any] = {"address": settings.address}
    if settings.address == "local":
        options |= {
            "num_cpus": max(usable_cores(), settings.n_threads),
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE_BYTES,
        }
    with ExitStack() as stack:
        stack.enter_context(_quiet_logger())
        stack.enter_context(_silent_environment())
        try:
            if settings.address != "local":
                options["address"] = _awake(ray, settings.address)
            ray.init(**options, log_to_driver=False, configure_logging=False)
        except (RuntimeError, ValueError, OSError, OverflowError) as error:
            raise _not_joined(settings.address, error) from error
        stack.callback(ray.shutdown)
        yield


def count_slots(nodes: Sequence[Mapping[str, Any]], settings: EngineSettings) -> int:
    """Give how many actors the living nodes hold, if nobody else is there.

    Args:
        nodes: As ``ray.nodes()`` gives them.
        settings: What an actor needs.

    Example:
        >>> node = {"Alive": True, "Resources": {"CPU": 16.0, "GPU": 2.0}}
        >>> count_slots([node, node], EngineSettings(n_threads=5))
        6
        >>> count_slots([node], EngineSettings(n_threads=1, n_gpus=0.5))
        4
    """
    n_slots = 0
    for node in nodes:
        if node["Alive"]:
            resources = node["Resources"]
            fits = int(resources.get("CPU", 0.0) // settings.n_threads)
            if settings.n_gpus:
                # A hair more, so that ten actors of a tenth fit.
                fits = min(fits, int(resources.get("GPU", 0.0) / settings.n_gpus + 1e-9))
            n_slots += fits
    return n_slots


def require_slots(
    nodes: Sequence[Mapping[str, Any]],
    settings: EngineSettings,
    *,
    remedy: str = "Give fewer with --workers and --gpus.",
) -> int:
    """Give the number of actors that fit.

    Args:
        nodes: As ``ray.nodes()`` gives them.
        settings: What an actor needs.
        remedy: What to do if none fits, for people.

    Raises:
        ConfigError: If not a single one does.
    """
    n_slots = count_slots(nodes, settings)
    if not n_slots:
        alive = [node["Resources"] for node in nodes if node["Alive"]]
        cores = max((int(each.get("CPU", 0)) for each in alive), default=0)
        gpus = max((int(each.get("GPU", 0)) for each in alive), default=0)
        raise ConfigError(
            f"No node of the Ray cluster holds an actor of {settings.n_threads} cores and "
            f"{settings.n_gpus:g} GPUs: the largest has {cores} cores and {gpus} GPUs. "
            f"{remedy}"
        )
    return n_slots


def _awake(ray: Any, address: str) -> str:
    """Give the address once a server of Ray's kind has answered there.

    Ray itself would try for minutes, and talk of it.

    Raises:
        ConnectionError, OSError, ValueError: If nobody does.
    """
    if address == "auto":
        # Where RAY_ADDRESS or a cluster on this machine says.
        address = check_address(ray._private.services.canonicalize_bootstrap_address(address))
    host, port = address.rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=_CONNECT_S) as connection:
        if "RAY_USE_TLS" not in os.environ:
            connection.sendall(_HTTP2_HELLO)
            if connection.recv(len(_HTTP2_HELLO))[3:4] != _HTTP2_SETTINGS:
                raise ConnectionError("what answers there is no Ray cluster")
    return address


def _not_joined(address: str, error: Exception) -> RunError:
    if address == "auto":
        return RunError(
            "No Ray cluster runs here. Start one with 'ray start --head', give its HOST:PORT with "
            "--address, or give --address local for one that lives as long as this command."
        )
    reason = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
    return RunError(
        f"The Ray cluster at {address} cannot be joined: {reason}. Check the address, and that "
        "Ray and Python have the same versions here and there."
    )


@contextmanager
def _quiet_logger() -> Iterator[None]:
    """Let Ray's own logger say nothing: what matters is told by exceptions."""
    logger = logging.getLogger("ray")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


@contextmanager
def _silent_environment() -> Iterator[None]:
    """Set the variables that keep Ray silent; afterwards, none that Ray has set is left."""

    def of_ray() -> dict[str, str]:
        names = [name for name in os.environ if name.startswith("RAY_")]
        return {name: os.environ[name] for name in [*names, *_SET_BY_RAY] if name in os.environ}

    before = of_ray()
    os.environ.update(_SILENT)
    try:
        yield
    finally:
        for name in of_ray():
            del os.environ[name]
        os.environ.update(before)
