# SPDX-License-Identifier: Apache-2.0
"""A Mechanical Turk on this machine: what AWS documents of the operations that are used.

It speaks the protocol of boto3's own model of the service, keeps accounts, and refuses what
the documentation says is refused.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qsl, urlsplit
from xml.etree import ElementTree

Json = dict[str, Any]


class RefusalError(Exception):
    """Answered as ``RequestError`` with Mechanical Turk's own code."""


@dataclass
class FakeTurk:
    """The service and its books."""

    url: str = ""
    balance: Decimal = Decimal("1000.00")
    hits: dict[str, Json] = field(default_factory=dict)
    types: dict[str, Json] = field(default_factory=dict)
    tokens: dict[str, str] = field(default_factory=dict)
    assignments: dict[str, Json] = field(default_factory=dict)
    bonuses: list[Json] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    fails: list[str] = field(default_factory=list)
    forgets_tokens: bool = False
    numbers: Any = field(default_factory=lambda: itertools.count(1))

    def answer(self, operation: str, given: Json) -> Json:
        self.asked.append(operation)
        if self.fails:
            raise RefusalError(self.fails.pop(0))
        work = getattr(
            self, re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=HIT)(?=[WT])", "_", operation).lower()
        )
        return dict(work(given))

    def get_account_balance(self, _given: Json) -> Json:
        return {"AvailableBalance": str(self.balance)}

    def create_hittype(self, given: Json) -> Json:
        name = next((key for key, value in self.types.items() if value == given), "")
        name = name or f"TYPE{next(self.numbers)}"
        self.types[name] = given
        return {"HITTypeId": name}

    create_hit_type = create_hittype

    def create_hit_with_hit_type(self, given: Json) -> Json:
        token = given["UniqueRequestToken"]
        if token in self.tokens and not self.forgets_tokens:
            raise RefusalError("AWS.MechanicalTurk.HITAlreadyExists")
        hit_id = f"HIT{next(self.numbers):027}"
        self.tokens[token] = hit_id
        hit = {key: given[key] for key in ("HITTypeId", "Question", "RequesterAnnotation")}
        hit |= {"HITId": hit_id, "Expiration": 1_700_600_000, "HITStatus": "Assignable"}
        self.hits[hit_id] = hit | {"MaxAssignments": given["MaxAssignments"]}
        return {"HIT": self.hits[hit_id]}

    def list_hits(self, given: Json) -> Json:
        # Two a page, so that pages are asked for.
        start = int(given.get("NextToken", 0))
        found = list(self.hits.values())
        more = {"NextToken": str(start + 2)} if start + 2 < len(found) else {}
        return {"HITs": found[start : start + 2]} | more

    def list_assignments_for_hit(self, given: Json) -> Json:
        found = [
            each for each in self.assignments.values()
            if each["HITId"] == given["HITId"]
            and each["AssignmentStatus"] in given["AssignmentStatuses"]
        ]  # fmt: skip
        return {"Assignments": found}

    def get_assignment(self, given: Json) -> Json:
        return {"Assignment": self.assignments[given["AssignmentId"]]}

    def approve_assignment(self, given: Json) -> Json:
        found = self._submitted(given)
        found["AssignmentStatus"] = "Approved"
        reward = Decimal(self.types[self.hits[found["HITId"]]["HITTypeId"]]["Reward"])
        self.balance -= reward + max(Decimal("0.01"), reward / 5)
        return {}

    def reject_assignment(self, given: Json) -> Json:
        self._submitted(given)["AssignmentStatus"] = "Rejected"
        return {}

    def _submitted(self, given: Json) -> Json:
        found = self.assignments[given["AssignmentId"]]
        if found["AssignmentStatus"] != "Submitted":
            raise RefusalError("AWS.MechanicalTurk.InvalidAssignmentState")
        found["RequesterFeedback"] = given["RequesterFeedback"]
        return found

    def send_bonus(self, given: Json) -> Json:
        is_known = any(each["token"] == given["UniqueRequestToken"] for each in self.bonuses)
        if is_known and not self.forgets_tokens:
            raise RefusalError("AWS.MechanicalTurk.DuplicateRequest")
        self.bonuses.append({**given, "token": given["UniqueRequestToken"]})
        self.balance -= Decimal(given["BonusAmount"]) * Decimal("1.2")
        return {}

    def list_bonus_payments(self, given: Json) -> Json:
        names = ("WorkerId", "BonusAmount", "AssignmentId", "Reason")
        return {
            "BonusPayments": [
                {name: each[name] for name in names}
                for each in self.bonuses
                if each["AssignmentId"] == given["AssignmentId"]
            ]
        }

    def update_expiration_for_hit(self, given: Json) -> Json:
        self.hits[given["HITId"]]["HITStatus"] = "Reviewable"
        return {}

    def delete_hit(self, given: Json) -> Json:
        hit = self.hits[given["HITId"]]
        waits = any(
            each["HITId"] == given["HITId"] and each["AssignmentStatus"] == "Submitted"
            for each in self.assignments.values()
        )
        if waits or hit["HITStatus"] != "Reviewable":
            raise RefusalError("AWS.MechanicalTurk.InvalidHITState")
        del self.hits[given["HITId"]]
        return {}

    def accept(self, hit_id: str, worker_id: str) -> dict[str, str]:
        """Let a worker accept a HIT; give what their browser sends to the server."""
        question = ElementTree.fromstring(self.hits[hit_id]["Question"])
        url = str(next(each.text for each in question if each.tag.endswith("ExternalURL")))
        return dict(parse_qsl(urlsplit(url).query)) | {
            "assignmentId": f"ASSIGNMENT{next(self.numbers):020}",
            "hitId": hit_id,
            "workerId": worker_id,
            "turkSubmitTo": "https://workersandbox.mturk.com",
        }

    def hand_in(self, given: dict[str, str]) -> str:
        """Hand an assignment in, as the form in the frame does."""
        assignment_id = given["assignmentId"]
        self.assignments[assignment_id] = {
            "AssignmentId": assignment_id,
            "HITId": given["hitId"],
            "WorkerId": given["workerId"],
            "AssignmentStatus": "Submitted",
        }
        return assignment_id


@contextmanager
def fake_turk() -> Iterator[FakeTurk]:
    """Run the service on a free port while the block lasts."""
    turk = FakeTurk()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            operation = self.headers["X-Amz-Target"].rpartition(".")[2]
            status, answer = 200, {}
            try:
                answer = turk.answer(operation, given)
            except RefusalError as refusal:
                status = 503 if str(refusal) == "ServiceFault" else 400
                name = "ServiceFault" if status == 503 else "RequestError"
                answer = {"__type": name, "Message": "no", "TurkErrorCode": str(refusal)}
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_arguments: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    turk.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield turk
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
