# SPDX-License-Identifier: Apache-2.0
"""Review as its owner runs it: the commands, a real server, two people, obfuscation after."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.flow.command import command
from tests.flow.test_cli import PROGRAM
from tests.unit.review.store.world import write_set
from veilset.annotations.store import AnnotationSet
from veilset.files import sha256_hex
from veilset.types import Annotations, Origin, Region, Status

SIZE_WH = (160, 120)
FACE, MISSED = (20.0, 20.0, 60.0, 70.0), (100.0, 30.0, 140.0, 80.0)
DETECTED = Region(FACE, score=0.9, landmarks_xy=((30.0, 40.0),), attributes={"pose": 1.5})
GOLDEN = ("a/0.png", "b/1.png")


@dataclass
class Caller:
    """Somebody at a browser."""

    client: httpx.Client

    @classmethod
    def sign_in(cls, link: str) -> Caller:
        base, token = link.split("/#in=")
        client = httpx.Client(base_url=base, headers={"Origin": base}, timeout=30)
        me = client.post("/api/session", json={"token": token})
        assert me.status_code == 200, me.text
        client.headers["X-CSRF-Token"] = me.json()["csrf"]
        return cls(client)

    def ask(self, method: str, path: str, **body: Any) -> Any:
        reply = self.client.request(method, path, json=body or None)
        assert reply.is_success, f"{reply.status_code} {reply.text}"
        return reply.json() if reply.content else None

    def answer(self, batch: Any, task: Any, boxes: list[dict[str, Any]]) -> Any:
        return self.ask(
            "POST",
            f"/api/tasks/{task['task_id']}/answer",
            attempt=batch["attempt"],
            nonce=f"nonce-{task['task_id']:06}",
            seconds=2.5,
            regions=boxes,
        )

    def work(self, boxes: list[dict[str, Any]]) -> int:
        """Answer a whole batch, looking at every picture; give how many images it had."""
        batch = self.ask("POST", "/api/batch")["batch"]
        for task in batch["tasks"]:
            picture = self.client.get(f"/api/tasks/{task['task_id']}/image")
            assert picture.headers["cache-control"] == "no-store"
            assert self.answer(batch, task, boxes)["outcome"] == "saved"
        done = self.ask("POST", f"/api/batch/{batch['batch_id']}/submit")
        return int(done["n_images"])


def box(box_xyxy: tuple[float, ...], source: int | None = None) -> dict[str, Any]:
    return {"box_xyxy": list(box_xyxy), "kind": "face", "source": source}


@dataclass
class Callers:
    """Signs people in, and closes their connections in the end."""

    owner_link: str
    signed_in: list[Caller] = field(default_factory=list)

    def sign_in(self, link: str) -> Caller:
        self.signed_in.append(Caller.sign_in(link))
        return self.signed_in[-1]

    def owner(self) -> Caller:
        return self.sign_in(self.owner_link)

    def invited(self, n: int, job: list[str], role: str = "worker") -> list[Caller]:
        address = self.owner_link.split("/#")[0]
        said = command(
            "review", "invite", "--workers", str(n), "--role", role, "--address", address, *job
        ).stdout
        return [self.sign_in(link) for link in re.findall(r"http\S+", said)]


@pytest.fixture
def callers(owner_link: str) -> Iterator[Callers]:
    people = Callers(owner_link)
    yield people
    for each in people.signed_in:
        each.client.close()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Photographs, what a detector found in them, and gold."""
    rng = np.random.default_rng(7)
    rows = []
    for number in range(8):
        name = f"{'ab'[number % 2]}/{number}.png"
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        width, height = SIZE_WH
        Image.fromarray(rng.integers(0, 255, (height, width, 3), np.uint8)).save(path)
        digest = sha256_hex(path.read_bytes())
        size = path.stat().st_size
        rows.append(Annotations(name, Status.LOOKED, (DETECTED,), width, height, digest, size))
    rows.append(Annotations("b/broken.jpg", Status.COULD_NOT_LOOK, reason="truncated"))
    (tmp_path / "photos/b/broken.jpg").write_bytes(b"no picture")
    write_set(tmp_path / "ann", rows)
    truth = (replace(DETECTED, origin=Origin.REVIEWED), Region(MISSED, origin=Origin.REVIEWED))
    gold = [replace(row, regions=truth) for row in rows if row.image_id in GOLDEN]
    write_set(tmp_path / "gold", gold)
    return tmp_path


@pytest.fixture
def job(folder: Path) -> list[str]:
    """A job with two replicas; the options that name its database."""
    database = ["--database", str(folder / "review.sqlite")]
    command(
        "review", "open", folder / "photos", "-a", folder / "ann", "--gold", folder / "gold",
        "--replicas", "2", "--set", "batch_size=8", "--set", "gold_per_batch=2", *database,
    )  # fmt: skip
    return database


@pytest.fixture
def owner_link(job: list[str]) -> Iterator[str]:
    """The link that a running server prints."""
    server = subprocess.Popen(
        [PROGRAM, "review", "serve", "--port", "0", *job],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert server.stdout is not None
    link = server.stdout.readline().strip()
    assert link.startswith("http://127.0.0.1:"), server.communicate(timeout=10)
    yield link
    server.send_signal(signal.SIGINT)
    _, said = server.communicate(timeout=30)
    assert server.returncode in (0, 130), said
    assert "Traceback" not in said
    assert link.split("=")[1] not in said


def test_two_people_agree_and_the_release(folder: Path, job: list[str], callers: Callers) -> None:
    for each in callers.invited(2, job):
        assert each.work([box(FACE, 0), box(MISSED)]) == 8

    said = command("review", "status", *job).stdout
    assert "6 of 9 images settled, 0 open, 0 disputed, 1 unreadable, 2 gold" in said
    agreed = command("review", "agreement", *job).stdout
    assert "images that several people saw: 6" in agreed
    assert re.search(r"mean F1 of pairs: 1 \[0\.\d+, 1\] \(n = 6\)", agreed)

    command("review", "export", "-o", folder / "ann2", *job)
    rows = {row.image_id: row for row in AnnotationSet(folder / "ann2")}
    assert rows["b/broken.jpg"].status is Status.COULD_NOT_LOOK
    assert rows["a/2.png"].regions[0].landmarks_xy == DETECTED.landmarks_xy
    assert rows["a/2.png"].regions[0].attributes["pose"] == 1.5
    for number in range(2, 8):
        regions = rows[f"{'ab'[number % 2]}/{number}.png"].regions
        assert {region.origin for region in regions} == {Origin.REVIEWED}
        assert {region.box_xyxy for region in regions} == {FACE, MISSED}

    out = folder / "out"
    command("obfuscate", folder / "photos", "-a", folder / "ann2", "-o", out,
            "--method", "blackout", code=3)  # fmt: skip
    written = np.asarray(Image.open(out / "a/2.png"))
    x0, y0, x1, y1 = (int(value) for value in MISSED)
    assert not written[y0:y1, x0:x1].any()
    assert not (out / "b/broken.jpg").exists()
    command("verify", folder / "photos", out, "-a", folder / "ann2", "--recheck", "none")
    page = command("report", out, "-a", folder / "ann2").stdout.strip()
    text = Path(page).read_text()
    assert "People decided on 8 images; 1 image kept the regions from before." in text
    assert "veilset review export -o ANN" in text


def test_an_expert_s_sample_says_what_is_missed(job: list[str], callers: Callers) -> None:
    said = command("review", "missed", *job).stdout
    assert "sample: 0 images" in said
    assert "audit-sample" in said
    assert "recapture: no image was seen by two people yet" in said

    command("review", "audit-sample", "--n", "6", *job)
    (expert,) = callers.invited(1, job, "expert")
    assert expert.work([box(FACE, 0), box(MISSED)]) == 6
    first, second = callers.invited(2, job)
    first.work([box(FACE, 0), box(MISSED)])
    second.work([box(FACE, 0), box(MISSED)])

    said = command("review", "missed", *job).stdout
    assert "6 images, 6 of them finished by an expert, 6 of those settled" in said
    assert re.search(r"a face, before review: 1 \[0\.541, 1\] \(n = 6\)", said)
    assert re.search(r"a face, after review: 0 \[0, 0\.459\] \(n = 6\)", said)
    assert re.search(r"6 images seen by 2 people: they added 6 faces; at least 6 \[6, ", said)


def test_errors_on_gold_are_told_and_cost_lives(job: list[str], callers: Callers) -> None:
    (worker,) = callers.invited(1, job)
    stray = [box(FACE, 0), box(MISSED), box((70.0, 90.0, 90.0, 110.0))]
    batch = worker.ask("POST", "/api/batch")["batch"]
    told = []
    for task in batch["tasks"]:
        outcome = worker.answer(batch, task, stray)
        told += [outcome] if outcome["outcome"] != "saved" else []
        if outcome["outcome"] == "restarted":
            break
    assert [each["outcome"] for each in told] == ["life-lost", "restarted"]
    for each in told:
        assert [problem["what"] for problem in each["feedback"]["problems"]] == ["stray"]
        assert len(each["feedback"]["truth"]) == 2
    again = worker.ask("POST", "/api/batch")["batch"]
    assert (again["attempt"], again["lives"]) == (2, 2)


def test_a_dispute_is_settled_and_undone(folder: Path, job: list[str], callers: Callers) -> None:
    first, second = callers.invited(2, job)
    # Right on gold, since it lies on a face; yet another box than the other person's.
    corner = box((20.0, 20.0, 36.0, 36.0))
    first.work([box(FACE, 0), box(MISSED)])
    second.work([box(FACE, 0), box(MISSED), corner])
    owner = callers.owner()
    disputes = owner.ask("GET", "/api/owner/disputes?after=0&limit=50")
    assert disputes["n_total"] == 6
    dispute = disputes["disputes"][0]
    votes = {tuple(each["region"]["box_xyxy"]): each["votes"] for each in dispute["merged"]}
    assert votes == {FACE: 2, MISSED: 2, tuple(corner["box_xyxy"]): 1}
    path = f"/api/owner/disputes/{dispute['image_pk']}"
    decision = owner.ask("POST", path, regions=[box(FACE, 0), box(MISSED)])
    assert decision["kind"] == "adjudicated"
    assert "1 of 9 images settled, 0 open, 5 disputed" in command("review", "status", *job).stdout
    owner.ask("POST", f"/api/owner/decisions/{decision['decision_id']}/undo")
    assert "0 of 9 images settled, 0 open, 6 disputed" in command("review", "status", *job).stdout
    # What is disputed is not decided: the export keeps what the detector said.
    command("review", "export", "-o", folder / "ann2", *job)
    rows = {row.image_id: row for row in AnnotationSet(folder / "ann2")}
    assert rows["a/2.png"].regions == (DETECTED,)


def test_wrong_input_is_one_sentence(folder: Path, job: list[str]) -> None:
    def error(*arguments: str | Path) -> str:
        said = command(*arguments, code=1).stderr
        assert "Traceback" not in said
        return said

    photos, ann = folder / "photos", folder / "ann"
    assert "No review setting is named" in error(
        "review", "open", photos, "-a", ann, "--set", "life=2", *job
    )
    assert "whole number" in error("review", "open", photos, "-a", ann, "--set", "lives=x", *job)
    assert "faces" in error("review", "open", photos, "-a", folder / "gold", *job)
    assert "no run" in error("review", "open", photos, "-a", folder / "nothing", *job)
    assert "no review database" in error("review", "status", "--database", folder / "no.sqlite")
    assert "postgresql" in error("review", "status", "--database", "mysql://me:secret@host/x")
    assert "SQLite" in error("review", "serve", "--processes", "2", *job)
    assert "https" in error("review", "serve", "--turk", *job)
    assert "no page may show them" in error("review", "serve", "--submit-to", "https://x", *job)
    assert "role" in error("review", "invite", "--role", "boss", *job)
    assert "No expert" in error("review", "export", "--experts", "-o", folder / "x", *job)
    assert "several people saw: 0" in command("review", "agreement", *job).stdout
