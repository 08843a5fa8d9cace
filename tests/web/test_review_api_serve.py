# SPDX-License-Identifier: Apache-2.0
"""The server as a program: what it listens on, what it logs, what it refuses to start."""

from __future__ import annotations

import os
import signal
import socket
import time
from pathlib import Path

import httpx
import pytest

from tests.review_databases import Cluster, postgresql_cluster
from tests.web.review_site import make_site, served
from veilset.errors import ConfigError, ReviewError
from veilset.review.web.options import WebOptions
from veilset.review.web.serve import serve

__all__ = ["postgresql_cluster"]


def test_the_log_of_a_whole_session_holds_no_secret(tmp_path: Path) -> None:
    site = make_site(tmp_path, f"sqlite:///{tmp_path / 'review.sqlite'}")
    log = tmp_path / "log"
    secrets = [*site.workers, site.owner]
    with served(site.url, level="DEBUG", log=log) as server:
        base = f"http://127.0.0.1:{server.port}"
        for token in (site.workers[0], site.owner):
            with httpx.Client(base_url=base) as client:
                said = client.post("/api/session", json={"token": token})
                csrf = said.json()["csrf"]
                secrets += [csrf, client.cookies["veilset_session"]]
                client.headers["X-CSRF-Token"] = csrf
                assert "server" not in said.headers
                batch = client.post("/api/batch").json()
                for path in ("/api/tasks/1/image", "/api/owner/overview", "/api/nothing"):
                    client.get(path)
                client.post("/api/tasks/1/answer", content=b"{}")
                client.post("/api/owner/invites", json={"n": 1})
                client.delete("/api/session")
                assert batch
    text = log.read_text()
    assert "uvicorn" in text, "nothing was logged, so nothing was looked for"
    assert not [secret for secret in secrets if secret in text]


def test_it_listens_on_this_machine_only(tmp_path: Path) -> None:
    site = make_site(tmp_path, f"sqlite:///{tmp_path / 'review.sqlite'}")
    with served(site.url) as server:
        table = Path("/proc/net/tcp").read_text().splitlines()[1:]
        addresses = {
            line.split()[1].partition(":")[0]
            for line in table
            if line.split()[1].endswith(f":{server.port:04X}") and line.split()[3] == "0A"
        }
    assert addresses == {"0100007F"}


def test_sqlite_serves_one_process(tmp_path: Path) -> None:
    site = make_site(tmp_path, f"sqlite:///{tmp_path / 'review.sqlite'}")
    with pytest.raises(ConfigError, match="PostgreSQL"):
        serve(site.url, processes=2)


def test_a_port_in_use_is_said(tmp_path: Path) -> None:
    site = make_site(tmp_path, f"sqlite:///{tmp_path / 'review.sqlite'}")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=str(port)):
            serve(site.url, options=WebOptions(port=port))


def test_a_job_that_is_not_there_is_said(tmp_path: Path) -> None:
    site = make_site(tmp_path, f"sqlite:///{tmp_path / 'review.sqlite'}")
    with pytest.raises(ReviewError, match="nothing-of-it"):
        serve(site.url, "nothing-of-it")
    with pytest.raises(ReviewError):
        serve(f"sqlite:///{tmp_path / 'none.sqlite'}")


def children_of(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    # The helper of multiprocessing, which tracks resources, serves nobody.
    return [
        int(each) for each in text.split()
        if b"resource_tracker" not in Path(f"/proc/{each}/cmdline").read_bytes()
    ]  # fmt: skip


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def two_children(pid: int, but: int = 0) -> list[int]:
    """Wait for two processes that serve, none of them ``but``."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = [child for child in children_of(pid) if is_alive(child)]
        if len(found) == 2 and but not in found:
            return found
        time.sleep(0.1)
    raise AssertionError(f"process {pid} has {found}")


def test_a_process_that_dies_is_replaced(tmp_path: Path, postgresql_cluster: Cluster) -> None:
    site = make_site(tmp_path, postgresql_cluster.create_database())
    with served(site.url, processes=2) as server:
        before = two_children(server.process.pid)
        os.kill(before[0], signal.SIGKILL)
        now = two_children(server.process.pid, but=before[0])
        answer = httpx.get(f"http://127.0.0.1:{server.port}/api/me", timeout=30)
        assert answer.status_code == 401
    assert not [pid for pid in now if is_alive(pid)]


def test_no_process_outlives_the_first(tmp_path: Path, postgresql_cluster: Cluster) -> None:
    site = make_site(tmp_path, postgresql_cluster.create_database())
    with served(site.url, processes=2) as server:
        children = two_children(server.process.pid)
        httpx.get(f"http://127.0.0.1:{server.port}/api/me", timeout=30)
        os.kill(server.process.pid, signal.SIGKILL)
        server.process.wait()
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and any(is_alive(pid) for pid in children):
            time.sleep(0.1)
        assert not [pid for pid in children if is_alive(pid)]
        server.process.returncode = 0
