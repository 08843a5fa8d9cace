# SPDX-License-Identifier: Apache-2.0
"""What the owner of a job asks for: figures, people, disputes, decisions, gold."""

from __future__ import annotations

from typing import Annotated, Final

from fastapi import APIRouter, Path, Query, Response

from veilset.review.job import batches, decisions, figures, gold_images, missed, people
from veilset.review.values import Role
from veilset.review.views import Invited
from veilset.review.web import models
from veilset.review.web.callers import Owner
from veilset.review.web.models import RowId
from veilset.review.web.pictures import PICTURE_RESPONSES, picture_response
from veilset.review.web.replies import disputes_model, drawing_of
from veilset.review.web.room import Room

router = APIRouter(prefix="/api/owner", tags=["owner"])

LINK_HOURS: Final = 24 * 7
"""How long a link lasts that is made for somebody anew."""

PersonId = Annotated[RowId, Path()]
ImagePk = Annotated[RowId, Path()]
DecisionId = Annotated[RowId, Path()]
PageSize = Annotated[int, Query(ge=1, le=200)]
After = Annotated[int, Query(ge=0, le=2**53)]


@router.get("/overview")
async def overview(caller: Owner) -> models.Overview:
    """Give the figures of the dashboard."""
    room = caller.room
    view = await caller.look(lambda conn, _: figures.overview(conn, room.job, room.now_ms()))
    return models.Overview.model_validate(view, from_attributes=True)


@router.get("/people")
async def people_table(caller: Owner) -> models.People:
    """Give the table of people."""
    room = caller.room
    rows = await caller.look(lambda conn, _: figures.people_table(conn, room.job, room.now_ms()))
    return models.People.model_validate({"people": list(rows)}, from_attributes=True)


@router.get("/agreement")
async def agreement(caller: Owner) -> models.AgreementModel:
    """Say how far people agree."""
    view = await caller.look(lambda conn, _: figures.agreement(conn, caller.room.job))
    return models.AgreementModel.model_validate(view, from_attributes=True)


@router.get("/missed")
async def still_missed(caller: Owner) -> models.MissedModel:
    """Estimate how many faces are still missed."""
    view = await caller.look(lambda conn, _: missed.still_missed(conn, caller.room.job))
    return models.MissedModel.model_validate(view, from_attributes=True)


@router.post("/invites")
async def invite(wish: models.Invite, caller: Owner) -> models.Links:
    """Make one-time sign-in links for new people."""
    room, role = caller.room, Role(wish.role)
    invited = await caller.run(
        lambda conn, _: people.invite(conn, room.job, role, wish.n, wish.hours, room.now_ms())
    )
    return models.Links(links=[_link(room, each) for each in invited])


@router.post("/people/{person_id}/revoke", status_code=204)
async def revoke(person_id: PersonId, caller: Owner) -> Response:
    """Take somebody out at once: sessions end, a batch goes back."""
    room = caller.room
    await caller.run(lambda conn, _: people.revoke(conn, room.job, person_id, room.now_ms()))
    return Response(status_code=204)


@router.post("/people/{person_id}/link")
async def new_link(person_id: PersonId, caller: Owner) -> models.Link:
    """Make a new one-time sign-in link for somebody; the old one holds no longer."""
    room = caller.room
    invited = await caller.run(
        lambda conn, _: people.new_link(conn, room.job, person_id, LINK_HOURS, room.now_ms())
    )
    return _link(room, invited)


@router.get("/disputes")
async def disputes(caller: Owner, after: After = 0, limit: PageSize = 20) -> models.Disputes:
    """Give the queue of adjudication, from the image behind ``after`` on."""
    room = caller.room
    page = await caller.look(lambda conn, _: decisions.disputes(conn, room.job, after, limit))
    return disputes_model(page)


@router.post("/disputes/{image_pk}")
async def adjudicate(
    image_pk: ImagePk, adjudication: models.Adjudication, caller: Owner
) -> models.DecisionModel:
    """Settle a dispute by the owner's word."""
    room, drawing = caller.room, drawing_of(adjudication.regions)
    decision = await caller.run(
        lambda conn, person: decisions.adjudicate(
            conn, room.job, person, image_pk, drawing, room.now_ms()
        )
    )
    return models.DecisionModel.model_validate(decision, from_attributes=True)


@router.get("/decisions")
async def latest_decisions(caller: Owner, limit: PageSize = 50) -> models.Decisions:
    """Give the latest decisions, newest first."""
    rows = await caller.look(lambda conn, _: decisions.decisions(conn, caller.room.job, limit))
    return models.Decisions.model_validate({"decisions": list(rows)}, from_attributes=True)


@router.post("/decisions/{decision_id}/undo", status_code=204)
async def undo_decision(decision_id: DecisionId, caller: Owner) -> Response:
    """Take a decision back; the image is where it was before."""
    room = caller.room
    await caller.run(
        lambda conn, person: decisions.undo_decision(
            conn, room.job, person, decision_id, room.now_ms()
        )
    )
    return Response(status_code=204)


@router.get("/images/{image_pk}/image", response_class=Response, responses=PICTURE_RESPONSES)
async def owner_image(image_pk: ImagePk, caller: Owner) -> Response:
    """Give the picture of any image of the job."""
    room = caller.room
    caller.slow_down(room.pictures)
    image = await caller.run(
        lambda conn, person: batches.image_for_owner(
            conn, room.job, person, image_pk, room.now_ms()
        )
    )
    return await picture_response(room, image)


@router.post("/gold", status_code=204)
async def add_gold(gold: models.NewGold, caller: Owner) -> Response:
    """Let a settled image serve as gold from now on."""
    room = caller.room
    await caller.run(
        lambda conn, person: gold_images.add_gold(
            conn, room.job, person, gold.image_pk, room.now_ms()
        )
    )
    return Response(status_code=204)


def _link(room: Room, invited: Invited) -> models.Link:
    url = room.options.sign_in_url(invited.token)
    return models.Link(person_id=invited.person_id, name=invited.name, url=url)
