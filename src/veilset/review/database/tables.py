# SPDX-License-Identifier: Apache-2.0
"""The tables of review. Moments are ``*_ms``: milliseconds since 1970, UTC.

What people say is append-only: rows of ``answer``, ``decision``, ``undo``, ``view`` and
``event`` are never changed or deleted; the migrations add triggers that see to it. The
other tables hold the present state, and could be computed again from these. A change of
this file needs a migration in ``migrations``; a test compares the two.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

# Names of constraints are spelled out, so that migrations can speak of them on both databases.
metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only in a column of the type INTEGER.
_Id = BigInteger().with_variant(Integer(), "sqlite")

job = Table(
    "job",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("name", String(80), nullable=False, unique=True),
    Column("photos", Text, nullable=False),  # absolute path on the owner's machine
    Column("annotations", Text, nullable=False),
    Column("annotations_sha256", String(64), nullable=False),
    Column("gold", Text, nullable=False),  # of the annotation set of gold, "" for none
    Column("gold_sha256", String(64), nullable=False),
    Column("settings", Text, nullable=False),  # JobSettings.to_json()
    Column("n_images", Integer, nullable=False),
    Column("n_unreadable", Integer, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
)

image = Table(
    "image",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("job_id", _Id, ForeignKey("job.id"), nullable=False),
    Column("image_id", Text, nullable=False),
    Column("seq", Integer, nullable=False),  # place in the order of the annotation set
    Column("category", Text, nullable=False),
    Column("width", Integer, nullable=False),
    Column("height", Integer, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("proposals", Text, nullable=False),  # drawing JSON of the regions to start from
    # Order of work: the highest first; 0 to 1 from ``rules.order``.
    Column("priority", Float, nullable=False),
    # open -> settled or disputed -> settled; ``gold``: its truth is known, no ordinary work;
    # ``unreadable``: could not be looked at, nobody can review it.
    Column("state", String(12), nullable=False),
    Column("n_wanted", Integer, nullable=False),  # ordinary answers wanted: the replicas
    Column("n_taken", Integer, nullable=False),  # open leases plus finished answers
    Column("n_done", Integer, nullable=False),  # finished answers
    Column("in_audit", Integer, nullable=False),  # 1: in the random sample for experts
    Column("expert_taken", Integer, nullable=False),
    Column("expert_done", Integer, nullable=False),
    UniqueConstraint("job_id", "image_id"),
    UniqueConstraint("job_id", "seq"),
    # However many people ask at once, no image goes to more of them than are wanted.
    CheckConstraint("0 <= n_done AND n_done <= n_taken AND n_taken <= n_wanted", "replicas"),
    CheckConstraint("0 <= expert_done AND expert_done <= expert_taken", "experts"),
    # What can be given out, in the order in which it is.
    Index(
        "ix_image_work", "job_id", "priority", "id",
        postgresql_where=text("state = 'open' AND n_taken < n_wanted"),
        sqlite_where=text("state = 'open' AND n_taken < n_wanted"),
    ),
    Index(
        "ix_image_disputed", "job_id", "id",
        postgresql_where=text("state = 'disputed'"),
        sqlite_where=text("state = 'disputed'"),
    ),
    Index(
        "ix_image_audit", "job_id", "id",
        postgresql_where=text("in_audit = 1"),
        sqlite_where=text("in_audit = 1"),
    ),
)  # fmt: skip

gold = Table(
    "gold",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("job_id", _Id, ForeignKey("job.id"), nullable=False),
    Column("image_pk", _Id, ForeignKey("image.id"), nullable=False, unique=True),
    Column("truth", Text, nullable=False),  # drawing JSON; never leaves the server before an answer
    Column("shown", Text, nullable=False),  # drawing JSON: deliberately wrong
    Column("source", String(12), nullable=False),  # given or agreed
    Column("retired_ms", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
    Index(None, "job_id"),
)

person = Table(
    "person",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("job_id", _Id, ForeignKey("job.id"), nullable=False),
    Column("name", String(80), nullable=False),
    Column("role", String(8), nullable=False),  # values.Role
    Column("source", String(12), nullable=False),  # invite, cli or mturk
    Column("token_sha256", String(64), unique=True),  # of the one-time sign-in link
    Column("token_expires_ms", BigInteger),
    Column("token_used_ms", BigInteger),
    Column("revoked_ms", BigInteger),
    Column("created_ms", BigInteger, nullable=False),
    UniqueConstraint("job_id", "name"),
)

session = Table(
    "session",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("person_id", _Id, ForeignKey("person.id"), nullable=False),
    Column("secret_sha256", String(64), nullable=False, unique=True),
    Column("csrf", String(64), nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Index(None, "person_id"),
)

batch = Table(
    "batch",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("job_id", _Id, ForeignKey("job.id"), nullable=False),
    Column("person_id", _Id, ForeignKey("person.id"), nullable=False),
    Column("purpose", String(8), nullable=False),  # review or expert
    # open -> done, failed (lives and attempts used up), expired, released or revoked
    Column("state", String(8), nullable=False),
    Column("attempt", Integer, nullable=False),  # from 1
    Column("lives", Integer, nullable=False),  # left in this attempt
    Column("n_gold", Integer, nullable=False),
    Column("created_ms", BigInteger, nullable=False),
    Column("expires_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    CheckConstraint("lives >= 0", "lives"),
    Index(None, "person_id", "state"),
    Index(None, "job_id", "state", "expires_ms"),
)

task = Table(
    "task",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("batch_id", _Id, ForeignKey("batch.id"), nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("position", Integer, nullable=False),  # from 0
    Column("image_pk", _Id, ForeignKey("image.id"), nullable=False),
    Column("gold_id", _Id, ForeignKey("gold.id")),  # None: ordinary
    Column("shown", Text, nullable=False),  # drawing JSON
    # open -> answered; ``closed``: a gold image that was answered wrongly, truth shown;
    # ``gone``: the lease ran out and somebody else was given the image.
    Column("state", String(8), nullable=False),
    UniqueConstraint("batch_id", "attempt", "position"),
    UniqueConstraint("batch_id", "attempt", "image_pk"),
)

seen = Table(
    "seen",
    metadata,
    Column("person_id", _Id, ForeignKey("person.id"), nullable=False),
    Column("image_pk", _Id, ForeignKey("image.id"), nullable=False),
    Column("batch_id", _Id, ForeignKey("batch.id"), nullable=False),
    # The database itself sees to it that nobody gets an image in two batches. 0 for ordinary
    # work; gold that is shown again on purpose (``gold_exposures``) counts up from 1.
    Column("n_exposures", Integer, nullable=False),
    PrimaryKeyConstraint("person_id", "image_pk"),
)

view = Table(
    "view",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("person_id", _Id, ForeignKey("person.id"), nullable=False),
    Column("image_pk", _Id, ForeignKey("image.id"), nullable=False),
    Column("task_id", _Id, ForeignKey("task.id")),
    Column("at_ms", BigInteger, nullable=False),
)

answer = Table(
    "answer",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("task_id", _Id, ForeignKey("task.id"), nullable=False),
    Column("batch_id", _Id, ForeignKey("batch.id"), nullable=False),
    Column("person_id", _Id, ForeignKey("person.id"), nullable=False),
    Column("image_pk", _Id, ForeignKey("image.id"), nullable=False),
    Column("gold_id", _Id, ForeignKey("gold.id")),
    # Made by the browser: the same answer sent twice is one answer.
    Column("nonce", String(40), nullable=False),
    Column("drawing", Text, nullable=False),  # drawing JSON
    Column("seconds", Float, nullable=False),  # on this image, as the browser says
    Column("received_ms", BigInteger, nullable=False),
    Column("outcome", Text, nullable=False),  # JSON of what was said back, for a repeat
    # Against what was shown at first; 0 for gold.
    Column("n_added", Integer, nullable=False),
    Column("n_deleted", Integer, nullable=False),
    Column("n_moved", Integer, nullable=False),
    # GoldVerdict: its problems as JSON, and its counts. None for ordinary images.
    Column("problems", Text),
    Column("n_true", Integer),
    Column("n_found", Integer),
    Column("n_drawn", Integer),
    Column("n_right", Integer),
    UniqueConstraint("task_id", "nonce"),
    Index(None, "image_pk"),
    Index(None, "person_id", "id"),
    Index(None, "batch_id"),
    Index(
        "ix_answer_gold", "person_id", "gold_id",
        postgresql_where=text("gold_id IS NOT NULL"),
        sqlite_where=text("gold_id IS NOT NULL"),
    ),
)  # fmt: skip

decision = Table(
    "decision",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("job_id", _Id, ForeignKey("job.id"), nullable=False),
    Column("image_pk", _Id, ForeignKey("image.id"), nullable=False),
    # single (one replica), agreed (quorum), disputed (goes to adjudication), adjudicated
    Column("kind", String(12), nullable=False),
    Column("drawing", Text, nullable=False),  # drawing JSON of the merged regions
    Column("detail", Text, nullable=False),  # JSON: votes for each region, answers it came from
    Column("person_id", _Id, ForeignKey("person.id")),  # who adjudicated; None for the rules
    Column("made_ms", BigInteger, nullable=False),
    # Regions of the annotation set, and what became of them; 0 for disputed.
    Column("n_before", Integer, nullable=False),
    Column("n_added", Integer, nullable=False),
    Column("n_deleted", Integer, nullable=False),
    Column("n_moved", Integer, nullable=False),
    Index(None, "image_pk", "id"),
    Index(None, "job_id", "id"),
)

undo = Table(
    "undo",
    metadata,
    Column("decision_id", _Id, ForeignKey("decision.id"), primary_key=True, autoincrement=False),
    Column("person_id", _Id, ForeignKey("person.id")),
    Column("made_ms", BigInteger, nullable=False),
)

event = Table(
    "event",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("job_id", _Id, ForeignKey("job.id"), nullable=False),
    Column("person_id", _Id, ForeignKey("person.id")),
    Column("what", String(40), nullable=False),  # job-opened, invited, revoked, gold-added, ...
    Column("detail", Text, nullable=False),  # JSON
    Column("at_ms", BigInteger, nullable=False),
    Index(None, "job_id", "what"),
)

# Sums by minute, so that the dashboard has no millions of rows to count. Each is written in
# the transaction of what it counts; all could be computed again.
tally = Table(
    "tally",
    metadata,
    Column("job_id", _Id, ForeignKey("job.id"), nullable=False),
    Column("minute_ms", BigInteger, nullable=False),  # beginning of the minute
    Column("n_done", Integer, nullable=False),  # ordinary answers of batches handed in
    Column("worked_ms", BigInteger, nullable=False),  # on these, as the browsers say
    Column("n_found", Integer, nullable=False),  # regions that these answers added
    Column("n_wanted", Integer, nullable=False),  # ordinary answers asked for
    # How many images came into a state, less those that left it.
    Column("n_settled", Integer, nullable=False),
    Column("n_disputed", Integer, nullable=False),
    # Of images that were settled, less those that were undone.
    Column("n_before", Integer, nullable=False),
    Column("n_added", Integer, nullable=False),
    Column("n_deleted", Integer, nullable=False),
    Column("n_moved", Integer, nullable=False),
    PrimaryKeyConstraint("job_id", "minute_ms"),
)

hit = Table(
    "hit",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("job_id", _Id, ForeignKey("job.id"), nullable=False),
    # Our name for it, written down before Amazon is asked: what a killed run had begun is
    # found again by it, and is not paid for twice.
    Column("token", String(64), nullable=False, unique=True),
    Column("hit_id", String(80), unique=True),  # Mechanical Turk's name; None: planned
    # Of the secret in the HIT's address: who does not know it has not seen the HIT.
    Column("secret_sha256", String(64), nullable=False, unique=True),
    Column("is_sandbox", Integer, nullable=False),
    Column("state", String(10), nullable=False),  # planned -> open, finished, withdrawn, deleted
    Column("reward_cents", Integer, nullable=False),
    Column("duration_s", Integer, nullable=False),  # that a worker has for it
    Column("expires_ms", BigInteger, nullable=False),  # nobody can accept it from then on
    Column("created_ms", BigInteger, nullable=False),
    Index(None, "job_id", "state"),
)

assignment = Table(
    "assignment",
    metadata,
    Column("id", _Id, primary_key=True),
    Column("hit_pk", _Id, ForeignKey("hit.id"), nullable=False),
    Column("assignment_id", String(80), nullable=False, unique=True),
    Column("person_id", _Id, ForeignKey("person.id"), nullable=False),
    # The database itself sees to it that a batch is paid for once.
    Column("batch_id", _Id, ForeignKey("batch.id"), unique=True),
    # open -> approved or rejected, whether by us or by Amazon
    Column("state", String(10), nullable=False),
    Column("bonus_cents", Integer, nullable=False),  # paid; never more than once
    Column("created_ms", BigInteger, nullable=False),
    Column("ended_ms", BigInteger),
    Index(None, "hit_pk", "state"),
)
