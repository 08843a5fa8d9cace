# SPDX-License-Identifier: Apache-2.0
"""The review application, made by a factory: no state lies in a module."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.middleware import Middleware

from veilset.review.database.connect import Database
from veilset.review.views import Job
from veilset.review.web import routes_owner, routes_turk, routes_work, sign_in
from veilset.review.web.callers import COOKIE, CSRF_HEADER
from veilset.review.web.client_files import ClientFiles
from veilset.review.web.options import WebOptions
from veilset.review.web.problems import RESPONSES, install
from veilset.review.web.protection import Protection
from veilset.review.web.room import Room

_ABOUT = (
    "People correct the regions of a data set. Boxes are x0 y0 x1 y1 in pixels of the full, "
    "upright image."
)


def create_app(database: Database, job: Job, options: WebOptions | None = None) -> FastAPI:
    """Make the application that serves one job.

    Args:
        database: Stays open, and the caller's, when the application ends.
        job: What is reviewed.
        options: How it listens and whom it trusts.

    Raises:
        DatasetError: If the folder of photographs is gone.
    """
    chosen = options or WebOptions()
    room = Room(database, job, chosen)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        room.close()

    app = _with_routes(chosen, lifespan)
    app.state.room = room
    app.router.default = ClientFiles(chosen.client)
    return app


def api_document() -> dict[str, Any]:
    """Give the OpenAPI document, from which the client's types are made."""
    return _with_routes(WebOptions(), None).openapi()


def _with_routes(options: WebOptions, lifespan: Any) -> FastAPI:
    app = FastAPI(
        title="Veilset review",
        version="1",
        description=_ABOUT,
        lifespan=lifespan,
        # The pages that FastAPI makes of the document load scripts of strangers.
        docs_url=None,
        redoc_url=None,
        openapi_url="/openapi.json" if options.show_schema else None,
        middleware=[Middleware(Protection, options=options)],
        responses=RESPONSES,
        redirect_slashes=False,
        generate_unique_id_function=_operation_id,
    )
    install(app)
    for router in (routes_work.router, sign_in.router, routes_owner.router):
        app.include_router(router)
    # Whoever may not show a page in a frame cannot send people here.
    if options.frame_ancestors:
        app.include_router(routes_turk.router)
    _finish_document(app)
    return app


def _operation_id(route: APIRoute) -> str:
    return route.name


def _finish_document(app: FastAPI) -> None:
    """Say in the document that a cookie is needed, and for every change a header too.

    What every route may answer besides is written once and referred to.
    """
    document = app.openapi()
    parts = document["components"]
    parts["securitySchemes"] = {
        "session": {"type": "apiKey", "in": "cookie", "name": COOKIE},
        "csrf": {"type": "apiKey", "in": "header", "name": CSRF_HEADER},
    }
    shared = parts.setdefault("responses", {})
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for status in map(str, RESPONSES):
                shared[status] = operation["responses"][status]
                operation["responses"][status] = {"$ref": f"#/components/responses/{status}"}
            if (path, method) != ("/api/session", "post"):
                needed: dict[str, list[str]] = {"session": []}
                operation["security"] = [needed if method == "get" else {**needed, "csrf": []}]
