# SPDX-License-Identifier: Apache-2.0
"""HITs: planned, published, withdrawn. A killed run, run again, pays for nothing twice.

Every HIT is first a row with a token of its own, which goes to Amazon twice: as
``UniqueRequestToken``, with which Amazon makes one HIT only within 24 hours, and as
``RequesterAnnotation``, by which a HIT is found again however long ago it was made.
"""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from math import ceil
from urllib.parse import parse_qs, urlencode, urlsplit
from xml.sax.saxutils import escape, unescape

from sqlalchemy import Connection, case, func, insert, select, update

from veilset.errors import ConfigError, ReviewError
from veilset.review.database.connect import Database
from veilset.review.database.tables import hit, image
from veilset.review.job.ledger import note
from veilset.review.job.people import digest
from veilset.review.mturk.account import Account, TurkRefusedError
from veilset.review.mturk.cost import Cost, cost_notice, dollars, estimate_cost
from veilset.review.views import Job

SECRET = "k"  # noqa: S105  the name of the parameter that carries it
_QUESTION = (
    '<ExternalQuestion xmlns="http://mechanicalturk.amazonaws.com/'
    'AWSMechanicalTurkDataSchemas/2006-07-14/ExternalQuestion.xsd">'
    "<ExternalURL>{url}</ExternalURL><FrameHeight>{height}</FrameHeight></ExternalQuestion>"
)
_URL = re.compile(r"<ExternalURL>(.*?)</ExternalURL>", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Terms:
    """What is offered to workers.

    Attributes:
        url: Address of the review server's entrance, https.
        reward_cents: For a batch.
        title: What workers read in the list of HITs.
        description: What they read when they open it.
        keywords: Words to find it by, with commas between.
        duration_s: Seconds that a worker has for a batch.
        lifetime_s: Seconds for which a HIT can be accepted.
        auto_approval_s: Seconds after which Amazon pays what nobody has judged.
        height_px: Height of the frame; 0 for that of the window.
        qualifications: ``QualificationRequirements`` as boto3 takes them.

    Raises:
        ConfigError: If a value cannot be used.
    """

    url: str
    reward_cents: int
    title: str = "Cover faces in photographs"
    description: str = "Correct boxes so that they cover every face. Work on one batch of photos."
    keywords: str = "image, faces, boxes, annotation, privacy"
    duration_s: int = 3 * 3600
    lifetime_s: int = 7 * 24 * 3600
    auto_approval_s: int = 3 * 24 * 3600
    height_px: int = 0
    qualifications: tuple[dict[str, object], ...] = field(default_factory=tuple)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.scheme != "https" or not parts.netloc or parts.query or parts.fragment:
            raise ConfigError(
                f"The address {self.url!r} cannot be shown by Mechanical Turk. Give one that "
                "begins with https:// and has neither a query nor a fragment."
            )
        # The bounds of the service's documentation.
        for name, least, most in (
            ("reward_cents", 1, 100_000),
            ("duration_s", 30, 31_536_000),
            ("lifetime_s", 30, 31_536_000),
            ("auto_approval_s", 0, 2_592_000),
        ):
            value = getattr(self, name)
            if not least <= value <= most:
                raise ConfigError(f"{name} is {value}. Give a number from {least} to {most:,}.")
        if not self.title or len(self.title) > 128 or not self.description:
            raise ConfigError("A HIT needs a title of 1 to 128 characters, and a description.")


@dataclass(frozen=True, slots=True)
class Published:
    """What became of the wish to have so many HITs.

    Attributes:
        n_made: HITs that were made now.
        n_found: HITs of an earlier run that was killed before it could write them down.
        n_open: HITs that wait for workers or are at work now.
        cost: What those that were made cost.
    """

    n_made: int
    n_found: int
    n_open: int
    cost: Cost


def batches_wanted(conn: Connection, job: Job) -> int:
    """Say how many batches it takes to finish the job, those at work aside."""
    missing = case(
        (image.c.n_wanted > image.c.n_taken, image.c.n_wanted - image.c.n_taken), else_=0
    )
    open_images = (image.c.job_id == job.id) & (image.c.state == "open")
    n_answers = conn.scalar(select(func.sum(missing)).where(open_images)) or 0
    return ceil(n_answers / (job.settings.batch_size - job.settings.gold_per_batch))


def publish(
    database: Database,
    job: Job,
    account: Account,
    terms: Terms,
    n_open: int,
    *,
    budget_cents: int,
    now_ms: int,
) -> Published:
    """Have so many HITs waiting or at work, and make those that are missing.

    Called again with the same number it makes none, whatever happened to the first call.

    Args:
        database: Where the job is.
        job: The job.
        account: The requester's account.
        terms: What is offered.
        n_open: How many HITs shall be there in all.
        budget_cents: What may be spent on those that are made now, fees included.
        now_ms: Present moment.

    Raises:
        ConfigError: If more would be spent; the message says what it costs.
        ReviewError: If the account does not hold that much, or Amazon refuses.
        RunError: If Amazon cannot be reached. Call again.
    """
    if n_open < 0:
        raise ConfigError(f"{n_open} HITs cannot be. Give a number from 0 on.")
    n_found = _find_planned(database, job, account, now_ms)
    planned, n_there = database.look(lambda conn: _there(conn, job, account, now_ms))
    cost = estimate_cost(max(0, n_open - n_there), terms.reward_cents)
    planned = planned[: cost.n_hits]
    if not cost.n_hits:
        return Published(0, n_found, n_there, cost)
    if cost.total_cents > budget_cents:
        raise ConfigError(
            f"{cost_notice(cost, is_sandbox=account.is_sandbox)} That is more than the "
            f"{dollars(budget_cents)} that were agreed to. Agree to it, or ask for fewer."
        )
    balance = account.balance_cents()
    if balance < cost.total_cents:
        raise ReviewError(
            f"The account holds {dollars(balance)}, and {cost.n_hits:,} HITs cost "
            f"{dollars(cost.total_cents)}. Put money into it, or ask for fewer."
        )
    n_new = cost.n_hits - len(planned)
    planned += database.run(lambda conn: _plan(conn, job, account, terms, n_new, now_ms))
    hit_type = _hit_type(account, terms)
    for row_id, token in planned:
        _make(database, account, terms, hit_type, row_id, token, now_ms)
    database.run(
        lambda conn: note(
            conn, job.id, "hits-published", now_ms, n=cost.n_hits, cents=cost.total_cents,
            sandbox=account.is_sandbox,
        )
    )  # fmt: skip
    return Published(cost.n_hits, n_found, n_there + cost.n_hits, cost)


def withdraw(database: Database, job: Job, account: Account, now_ms: int) -> tuple[int, int]:
    """Let nobody accept the job's HITs any more; work that was begun can be handed in.

    Returns:
        How many HITs were withdrawn, and how many of them were deleted: Amazon deletes a
        HIT only when all its work is judged. Call again after that.
    """
    _find_planned(database, job, account, now_ms)
    mine = (hit.c.job_id == job.id) & (hit.c.is_sandbox == int(account.is_sandbox))
    query = select(hit.c.id, hit.c.hit_id).where(
        mine, hit.c.hit_id.is_not(None), hit.c.state.in_(("open", "finished", "withdrawn"))
    )
    rows = database.look(lambda conn: conn.execute(query).all())
    n_deleted = 0
    for row in rows:
        # 1970: a moment in the past ends it at once.
        account.ask("update_expiration_for_hit", HITId=row.hit_id, ExpireAt=0)
        state = "withdrawn"
        try:
            account.ask("delete_hit", HITId=row.hit_id)
            state, n_deleted = "deleted", n_deleted + 1
        except TurkRefusedError:
            pass
        _change(database, row.id, state=state, expires_ms=now_ms)
    # What was only planned was never paid for.
    forget = update(hit).where(mine, hit.c.state == "planned").values(state="deleted")
    database.run(lambda conn: conn.execute(forget))
    return len(rows), n_deleted


def _there(
    conn: Connection, job: Job, account: Account, now_ms: int
) -> tuple[list[tuple[int, str]], int]:
    """Give the rows that are planned, and how many HITs can be worked on."""
    mine = (hit.c.job_id == job.id) & (hit.c.is_sandbox == int(account.is_sandbox))
    planned = conn.execute(
        select(hit.c.id, hit.c.token).where(mine, hit.c.state == "planned").order_by(hit.c.id)
    )
    rows = [(row.id, row.token) for row in planned]
    can_be_handed_in = hit.c.expires_ms + 1000 * hit.c.duration_s > now_ms
    n_open = conn.scalar(
        select(func.count()).select_from(hit).where(mine, hit.c.state == "open", can_be_handed_in)
    )
    return rows, n_open or 0


def _plan(
    conn: Connection, job: Job, account: Account, terms: Terms, n: int, now_ms: int
) -> list[tuple[int, str]]:
    planned = []
    for _ in range(n):
        token = f"veilset-{secrets.token_hex(16)}"
        row = {
            "job_id": job.id, "token": token, "secret_sha256": digest(secrets.token_urlsafe(32)),
            "is_sandbox": int(account.is_sandbox), "state": "planned",
            "reward_cents": terms.reward_cents, "duration_s": terms.duration_s,
            "expires_ms": now_ms, "created_ms": now_ms,
        }  # fmt: skip
        planned.append((int(conn.scalar(insert(hit).values(row).returning(hit.c.id)) or 0), token))
    return planned


def _hit_type(account: Account, terms: Terms) -> str:
    """Give the type of the HITs; Amazon gives the same one for the same values."""
    answer = account.ask(
        "create_hit_type",
        AutoApprovalDelayInSeconds=terms.auto_approval_s,
        AssignmentDurationInSeconds=terms.duration_s,
        Reward=f"{terms.reward_cents // 100}.{terms.reward_cents % 100:02d}",
        Title=terms.title,
        Keywords=terms.keywords,
        Description=terms.description,
        QualificationRequirements=list(terms.qualifications),
    )
    return str(answer["HITTypeId"])


def _make(
    database: Database,
    account: Account,
    terms: Terms,
    hit_type: str,
    row_id: int,
    token: str,
    now_ms: int,
) -> None:
    secret = secrets.token_urlsafe(32)
    values = {
        "secret_sha256": digest(secret),
        "reward_cents": terms.reward_cents,
        "duration_s": terms.duration_s,
        "expires_ms": now_ms + 1000 * terms.lifetime_s,
    }
    # Before Amazon is asked: whoever is quick to accept has to find the secret known.
    _change(database, row_id, **values)
    url = f"{terms.url}?{urlencode({SECRET: secret})}"
    try:
        answer = account.ask(
            "create_hit_with_hit_type",
            HITTypeId=hit_type,
            MaxAssignments=1,
            LifetimeInSeconds=terms.lifetime_s,
            Question=_QUESTION.format(url=escape(url), height=terms.height_px),
            RequesterAnnotation=token,
            UniqueRequestToken=token,
        )
    except TurkRefusedError as refusal:
        if not refusal.is_repeated:
            raise
        raise ReviewError(
            "Mechanical Turk made this HIT before and does not list it yet. Wait a minute, then "
            "run the same command again: it is not made twice."
        ) from refusal
    _change(database, row_id, hit_id=answer["HIT"]["HITId"], state="open")


def _find_planned(database: Database, job: Job, account: Account, now_ms: int) -> int:
    """Write down HITs that Amazon has made and a killed run could not write down."""
    planned, _ = database.look(lambda conn: _there(conn, job, account, now_ms))
    rows = {token: row_id for row_id, token in planned}
    n_found = 0
    for found in account.pages("list_hits", "HITs") if rows else ():
        row_id = rows.get(str(found.get("RequesterAnnotation", "")))
        if row_id is None:
            continue
        known = _URL.search(found.get("Question", ""))
        query = urlsplit(unescape(known[1])).query if known else ""
        secret = parse_qs(query).get(SECRET, [""])[0]
        # The HIT says itself which secret it carries.
        values = {"secret_sha256": digest(secret)} if secret else {}
        if "Expiration" in found:
            values["expires_ms"] = round(found["Expiration"].timestamp() * 1000)
        _change(database, row_id, hit_id=found["HITId"], state="open", **values)
        n_found += 1
    return n_found


def _change(database: Database, row_id: int, **values: object) -> None:
    change = update(hit).where(hit.c.id == row_id).values(**values)
    database.run(lambda conn: conn.execute(change))
