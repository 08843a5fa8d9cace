# SPDX-License-Identifier: Apache-2.0
"""The OpenAPI document: fresh, and kept by the server whatever is sent."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.conftest import REPOSITORY
from tests.web.review_site import make_site, served
from veilset.review.web.schema import document_text

DOCUMENT = REPOSITORY / "web" / "openapi.json"
WRITE = "python -m veilset.review.web.schema web/openapi.json"
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance,
    response_headers_conformance, response_schema_conformance, negative_data_rejection,
]  # fmt: skip
# These would end the session, or the person, that the other examples need.
ENDING = ("sign_out", "revoke")
EXAMPLES = 50


def test_the_document_is_fresh() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == document_text(), f"run: {WRITE}"


def test_the_document_is_the_same_in_another_process() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "veilset.review.web.schema"],
        capture_output=True, text=True, check=True, cwd=REPOSITORY, env={"PYTHONHASHSEED": "7"},
    )  # fmt: skip
    assert done.stdout == document_text()


@pytest.fixture(scope="module", params=["worker", "owner"])
def signed_in(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, dict[str, str]]]:
    """A real server, and the headers of somebody who is signed in."""
    folder = tmp_path_factory.mktemp("fuzz")
    site = make_site(folder, f"sqlite:///{folder / 'review.sqlite'}")
    limits = {"answers_a_second": 1e6, "pictures_a_second": 1e6, "failed_sign_ins_a_minute": 10**6,
              "failed_sign_ins_a_minute_all": 10**6}  # fmt: skip
    token = site.owner if request.param == "owner" else site.workers[0]
    with served(site.url, **limits) as server:
        base = f"http://127.0.0.1:{server.port}"
        with httpx.Client(base_url=base) as client:
            me = client.post("/api/session", json={"token": token}).json()
            cookie = client.cookies["veilset_session"]
            headers = {"X-CSRF-Token": me["csrf"], "Cookie": f"veilset_session={cookie}"}
            if request.param == "worker":
                # So that small numbers are rows that are there.
                assert client.post("/api/batch", headers=headers).json()["batch"]
        yield base, headers


def schema_under_test() -> Any:
    """The document without what it says of sessions, which every example here has."""
    raw = json.loads(DOCUMENT.read_text(encoding="utf-8"))
    for methods in raw["paths"].values():
        for operation in methods.values():
            operation.pop("security", None)
    return schemathesis.openapi.from_dict(raw)


def operations() -> list[str]:
    schema = schema_under_test()
    found = [each.ok() for each in schema.get_all_operations()]
    names = [each.definition.raw["operationId"] for each in found]
    # Last, because it fills the table of people.
    return sorted(names, key=lambda name: (name == "invite", name))


@pytest.mark.slow
@pytest.mark.parametrize("operation_id", operations())
def test_whatever_is_sent_the_document_is_kept(
    signed_in: tuple[str, dict[str, str]], operation_id: str
) -> None:
    base, headers = signed_in
    schema = schema_under_test()
    operation = schema.find_operation_by_id(operation_id)
    own = {} if operation_id in ENDING else headers

    cases = st.one_of(
        operation.as_strategy(generation_mode=GenerationMode.POSITIVE),
        operation.as_strategy(generation_mode=GenerationMode.NEGATIVE),
    )

    @settings(max_examples=EXAMPLES, deadline=None, database=None,
              suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(case=cases, is_near=st.booleans())
    def check(case: schemathesis.Case[Any], is_near: bool) -> None:
        for name, value in case.path_parameters.items():
            # Few numbers of all that can be are those of rows.
            if is_near and isinstance(value, int) and value >= 1:
                case.path_parameters[name] = 1 + value % 12
        case.call_and_validate(base_url=base, headers=own, checks=CHECKS)

    check()
