# SPDX-License-Identifier: Apache-2.0
"""Simulated workers of the review server: many at once, in one process, over real sockets.

Used by ``review_load.py`` and by tests. The client is as small as it can be, because it
shares the processors with the server that it measures.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Plan:
    """What the workers do.

    Attributes:
        host: Address of the server.
        port: Its port.
        tokens: A sign-in link's secret for each worker.
        box: The box that every image needs, gold or not.
        n_batches: Batches for each worker.
        think_s: Mean time on an image, exponentially distributed; 0 for none.
        with_pictures: Whether the next picture is fetched while thinking, as the client does.
        error_share: Share of answers without a box: on gold they cost a life.
        is_patient: Whether a broken connection is tried again: the server is being killed.
        seed: Decides times and errors.
    """

    host: str
    port: int
    tokens: list[str]
    box: list[float]
    n_batches: int = 1
    think_s: float = 1.0
    with_pictures: bool = True
    error_share: float = 0.0
    is_patient: bool = False
    seed: int = 0


@dataclass
class Report:
    """What the workers saw.

    Attributes:
        seconds: Times of requests by what was asked for, from when they were due.
        statuses: How often each status came.
        saved: ``[task, nonce]`` of every answer that was acknowledged.
        submitted: Every batch that was acknowledged as handed in.
        outcomes: How often each outcome came.
        problems: What was not expected, the first few.
        working_s: From the first answer to the last.
    """

    seconds: dict[str, list[float]] = field(default_factory=dict)
    statuses: dict[str, int] = field(default_factory=dict)
    saved: list[list[Any]] = field(default_factory=list)
    submitted: list[int] = field(default_factory=list)
    outcomes: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    working_s: float = 0.0

    def count(self, status: int) -> None:
        self.statuses[str(status)] = self.statuses.get(str(status), 0) + 1

    def complain(self, problem: str) -> None:
        if len(self.problems) < 20:
            self.problems.append(problem)


class Line:
    """A connection that is kept, opened again when it breaks."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._head = f"Host: {plan.host}:{plan.port}\r\nOrigin: http://{plan.host}:{plan.port}\r\n"
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self.cookie = ""
        self.csrf = ""

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, bytes, str]:
        """Send a request; give status, body and headers."""
        data = b"" if body is None else json.dumps(body).encode()
        head = f"{method} {path} HTTP/1.1\r\n{self._head}Content-Length: {len(data)}\r\n"
        if data:
            head += "Content-Type: application/json\r\n"
        if self.cookie:
            head += f"Cookie: {self.cookie}\r\n"
        if self.csrf:
            head += f"X-CSRF-Token: {self.csrf}\r\n"
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._plan.host, self._plan.port)
        reader, writer = self._streams
        writer.write(head.encode() + b"\r\n" + data)
        answered = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status = int(answered[9:12])
        length = 0
        for line in answered.split("\r\n"):
            if line.lower().startswith("content-length:"):
                length = int(line.partition(":")[2])
        return status, await reader.readexactly(length) if length else b"", answered

    async def close(self) -> None:
        if self._streams is not None:
            _, writer = self._streams
            self._streams = None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


class Worker:
    """One person at their desk."""

    def __init__(self, plan: Plan, number: int, report: Report) -> None:
        self._plan = plan
        self._token = plan.tokens[number]
        self._report = report
        self._line = Line(plan)
        self._picture_line = Line(plan)
        self._random = random.Random(f"{plan.seed} {number}")
        self._nonces = 0
        self._name = f"w{number}"

    async def sign_in(self) -> None:
        """Open the link."""
        status, body, head = await self._line.ask("POST", "/api/session", {"token": self._token})
        if status != 200:
            raise RuntimeError(f"sign-in: {status} {body!r}")
        cookie = next(line for line in head.split("\r\n") if line.lower().startswith("set-cookie:"))
        value = cookie.partition(":")[2].strip().partition(";")[0]
        csrf = json.loads(body)["csrf"]
        for line in (self._line, self._picture_line):
            line.cookie, line.csrf = value, csrf

    async def work(self) -> None:
        """Do all batches."""
        for _ in range(self._plan.n_batches):
            work = await self._ask("batch", "POST", "/api/batch")
            if work is None or work["batch"] is None:
                self._report.complain(f"{self._name} got no batch: {work}")
                return
            await self._finish(work["batch"])

    async def leave(self) -> None:
        """Close the connections."""
        await self._line.close()
        await self._picture_line.close()

    async def _finish(self, batch: dict[str, Any]) -> None:
        while batch is not None:
            again = None
            for task in batch["tasks"]:
                if task["is_answered"] or task["is_closed"]:
                    continue
                outcome = await self._answer(batch, task)
                if outcome is None or outcome["outcome"] == "batch-lost":
                    return
                if outcome["outcome"] == "restarted":
                    again = outcome["batch"]
                    break
            if again is None:
                break
            batch = again
        number = batch["batch_id"]
        done = await self._ask("submit", "POST", f"/api/batch/{number}/submit")
        if done is not None:
            self._report.submitted.append(number)

    async def _answer(self, batch: dict[str, Any], task: dict[str, Any]) -> dict[str, Any] | None:
        mean = self._plan.think_s
        due = time.perf_counter() + (self._random.expovariate(1 / mean) if mean else 0.0)
        if self._plan.with_pictures:
            await self._look(task["task_id"])
        # A worker whose own event loop comes late has waited too: times begin when the
        # answer was due, not when it got away.
        due = max(due, time.perf_counter())
        await asyncio.sleep(due - time.perf_counter())
        self._nonces += 1
        nonce = f"{self._name}-{self._nonces:06d}"
        is_wrong = self._random.random() < self._plan.error_share
        region = {"box_xyxy": self._plan.box, "kind": "face", "source": None}
        body = {
            "attempt": batch["attempt"], "nonce": nonce, "seconds": mean,
            "regions": [] if is_wrong else [region],
        }  # fmt: skip
        path = f"/api/tasks/{task['task_id']}/answer"
        outcome = await self._ask("answer", "POST", path, body, due)
        if outcome is not None:
            said = outcome["outcome"]
            self._report.outcomes[said] = self._report.outcomes.get(said, 0) + 1
            self._report.saved.append([task["task_id"], nonce])
        return outcome

    async def _look(self, task_id: int) -> None:
        begun = time.perf_counter()
        try:
            status, _, _ = await self._picture_line.ask("GET", f"/api/tasks/{task_id}/image")
        except (OSError, asyncio.IncompleteReadError):
            await self._picture_line.close()
            return
        self._note("picture", status, begun)

    async def _ask(
        self, what: str, method: str, path: str, body: Any = None, due: float | None = None
    ) -> dict[str, Any] | None:
        """Send a request until it is answered; None if it is refused."""
        begun = time.perf_counter() if due is None else due
        for _ in range(200 if self._plan.is_patient else 1):
            try:
                status, data, _ = await self._line.ask(method, path, body)
            except (OSError, asyncio.IncompleteReadError) as error:
                await self._line.close()
                if not self._plan.is_patient:
                    self._report.complain(f"{what}: {type(error).__name__}")
                await asyncio.sleep(0.05)
                continue
            self._note(what, status, begun)
            if status < 300:
                found: dict[str, Any] = json.loads(data)
                return found
            self._report.complain(f"{what}: {status} {data[:200]!r}")
            return None
        return None

    def _note(self, what: str, status: int, begun: float) -> None:
        self._report.count(status)
        self._report.seconds.setdefault(what, []).append(time.perf_counter() - begun)


async def work_all(plan: Plan, on_begin: Callable[[], None] = lambda: None) -> Report:
    """Let everybody sign in, then begin at the same moment."""
    report = Report()
    workers = [Worker(plan, number, report) for number in range(len(plan.tokens))]
    for worker in workers:
        await worker.sign_in()
    on_begin()
    begun = time.perf_counter()
    await asyncio.gather(*(worker.work() for worker in workers))
    report.working_s = time.perf_counter() - begun
    await asyncio.gather(*(worker.leave() for worker in workers))
    return report


def main() -> None:
    """Read a plan from standard input, write the report to standard output."""
    plan = Plan(**json.load(sys.stdin))
    try:
        import uvloop
    except ImportError:
        report = asyncio.run(work_all(plan))
    else:
        report = uvloop.run(work_all(plan))
    json.dump(asdict(report), sys.stdout)


if __name__ == "__main__":
    main()
