# SPDX-License-Identifier: Apache-2.0
"""Links, sessions, sending people away."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import MetaData, select

from tests.unit.review.store.world import HOUR_MS, World, make_world
from veilset.errors import AccessError, ConfigError, ReviewError
from veilset.review.database import tables
from veilset.review.database.connect import Database
from veilset.review.job import people
from veilset.review.values import Role
from veilset.review.views import SessionView, Signed


@pytest.fixture
def world(database: Database, tmp_path: Path) -> World:
    return make_world(database, tmp_path, n=6, gold=2)


def sign_in(world: World, token: str) -> Signed:
    signed: Signed = world.database.run(lambda conn: people.sign_in(conn, token, world.now_ms))
    return signed


def who(world: World, secret: str) -> SessionView | None:
    return world.database.look(lambda conn: people.session_person(conn, secret, world.now_ms))


def test_link_works_once(world: World) -> None:
    (invited,) = world.run(people.invite, Role.WORKER, 1, 24.0)
    signed = sign_in(world, invited.token)
    assert (signed.person.name, signed.person.role) == ("worker-1", Role.WORKER)
    session = who(world, signed.secret)
    assert session is not None
    assert (session.person, session.csrf) == (signed.person, signed.csrf)
    with pytest.raises(AccessError, match="does not work"):
        sign_in(world, invited.token)


def test_names_count_on(world: World) -> None:
    first = world.run(people.invite, Role.WORKER, 2, 24.0)
    second = world.run(people.invite, Role.WORKER, 1, 24.0)
    expert = world.run(people.invite, Role.EXPERT, 1, 24.0)
    names = [each.name for each in [*first, *second, *expert]]
    assert names == ["worker-1", "worker-2", "worker-3", "expert-1"]
    assert len({each.token for each in [*first, *second]}) == 3


def test_link_expires(world: World) -> None:
    (invited,) = world.run(people.invite, Role.WORKER, 1, 2.0)
    world.now_ms += 2 * HOUR_MS
    with pytest.raises(AccessError):
        sign_in(world, invited.token)


def test_session_expires(world: World) -> None:
    (invited,) = world.run(people.invite, Role.WORKER, 1, 24.0)
    signed = sign_in(world, invited.token)
    world.now_ms = signed.expires_ms - 1
    assert who(world, signed.secret) is not None
    world.now_ms += 1
    assert who(world, signed.secret) is None


def test_signing_out_ends_the_session(world: World) -> None:
    (invited,) = world.run(people.invite, Role.WORKER, 1, 24.0)
    signed = sign_in(world, invited.token)
    world.database.run(lambda conn: people.sign_out(conn, signed.secret, world.now_ms))
    assert who(world, signed.secret) is None


def test_new_link_replaces_the_old_one(world: World) -> None:
    (invited,) = world.run(people.invite, Role.WORKER, 1, 24.0)
    again = world.run(people.new_link, invited.person_id, 24.0)
    assert again.name == invited.name
    with pytest.raises(AccessError):
        sign_in(world, invited.token)
    first = sign_in(world, again.token)
    # A lost laptop: one more link for the same person, while they are signed in.
    third = world.run(people.new_link, invited.person_id, 24.0)
    assert sign_in(world, third.token).person == first.person


def test_sent_away_is_at_once(world: World) -> None:
    (invited,) = world.run(people.invite, Role.WORKER, 1, 24.0)
    signed = sign_in(world, invited.token)
    world.run(people.revoke, invited.person_id)
    world.run(people.revoke, invited.person_id)
    assert who(world, signed.secret) is None
    with pytest.raises(AccessError):
        world.run(people.new_link, invited.person_id, 24.0)
    (other,) = world.run(people.invite, Role.WORKER, 1, 24.0)
    world.run(people.revoke, other.person_id)
    with pytest.raises(AccessError):
        sign_in(world, other.token)


def test_owner_is_made_once_and_stays(world: World) -> None:
    again = world.run(people.owner_link, 24.0)
    assert again.person_id == world.owner.id
    assert sign_in(world, again.token).person.role is Role.OWNER
    with pytest.raises(ReviewError, match="cannot be sent away"):
        world.run(people.revoke, world.owner.id)
    with pytest.raises(ConfigError, match="one owner"):
        world.run(people.invite, Role.OWNER, 1, 24.0)


@pytest.mark.parametrize(("n", "hours"), [(0, 1.0), (10_001, 1.0), (1, 0.0), (1, float("nan"))])
def test_senseless_invitations_are_refused(world: World, n: int, hours: float) -> None:
    with pytest.raises(ConfigError, match="cannot be made"):
        world.run(people.invite, Role.WORKER, n, hours)


@pytest.mark.parametrize("token", ["", "x" * 43, "' OR 1=1 --"])
def test_foreign_secrets_open_nothing(world: World, token: str) -> None:
    with pytest.raises(AccessError):
        sign_in(world, token)
    assert who(world, token) is None


def test_people_of_other_jobs_are_not_there(
    world: World, database: Database, tmp_path: Path
) -> None:
    other = make_world(database, tmp_path, n=2, gold=0, name="other")
    stranger = other.person()
    with pytest.raises(AccessError):
        world.run(people.revoke, stranger.id)
    with pytest.raises(AccessError):
        world.run(people.new_link, stranger.id, 1.0)


def test_no_secret_is_in_the_database(world: World) -> None:
    (invited,) = world.run(people.invite, Role.WORKER, 1, 24.0)
    signed = sign_in(world, invited.token)
    found = MetaData()
    with world.database.reading() as conn:
        found.reflect(conn)
        text = "".join(repr(conn.execute(select(table)).all()) for table in found.sorted_tables)
    assert invited.token not in text
    assert signed.secret not in text
    assert people.digest(signed.secret) in text


def test_signing_in_and_going_are_recorded(world: World) -> None:
    (invited,) = world.run(people.invite, Role.WORKER, 1, 24.0)
    sign_in(world, invited.token)
    world.run(people.revoke, invited.person_id)
    query = select(tables.event.c.what).order_by(tables.event.c.id)
    found = world.look(lambda conn: conn.scalars(query).all())
    assert found == ["job-opened", "link-made", "invited", "signed-in", "revoked"]
