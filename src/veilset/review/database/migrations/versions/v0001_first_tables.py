# SPDX-License-Identifier: Apache-2.0
"""The first tables. Frozen: what comes later is a migration of its own."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

APPEND_ONLY = ("answer", "decision", "undo", "view", "event")


def _counts(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.Integer(), nullable=False) for name in names]


def upgrade() -> None:
    """Make the tables, and the triggers that keep what people said."""
    _jobs()
    _images()
    _people()
    _sessions()
    _gold()
    _batches()
    _seen()
    _answers()
    _decisions()
    _events()
    _tally()
    _mechanical_turk()
    if op.get_bind().dialect.name == "sqlite":
        _protect_sqlite()
    else:
        _protect_postgresql()


def _jobs() -> None:
    op.create_table(
        "job",
        sa.Column("id", _ID, nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("photos", sa.Text(), nullable=False),
        sa.Column("annotations", sa.Text(), nullable=False),
        sa.Column("annotations_sha256", sa.String(length=64), nullable=False),
        sa.Column("gold", sa.Text(), nullable=False),
        sa.Column("gold_sha256", sa.String(length=64), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("n_images", sa.Integer(), nullable=False),
        sa.Column("n_unreadable", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_job"),
        sa.UniqueConstraint("name", name="uq_job_name"),
    )


def _images() -> None:
    op.create_table(
        "image",
        sa.Column("id", _ID, nullable=False),
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("image_id", sa.Text(), nullable=False),
        sa.Column("seq", sa.Integer(), nullable=False),
        sa.Column("category", sa.Text(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("proposals", sa.Text(), nullable=False),
        sa.Column("priority", sa.Float(), nullable=False),
        sa.Column("state", sa.String(length=12), nullable=False),
        *_counts("n_wanted", "n_taken", "n_done", "in_audit", "expert_taken", "expert_done"),
        sa.CheckConstraint(
            "0 <= expert_done AND expert_done <= expert_taken", name="ck_image_experts"
        ),
        sa.CheckConstraint(
            "0 <= n_done AND n_done <= n_taken AND n_taken <= n_wanted", name="ck_image_replicas"
        ),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_image_job_id_job"),
        sa.PrimaryKeyConstraint("id", name="pk_image"),
        sa.UniqueConstraint("job_id", "image_id", name="uq_image_job_id_image_id"),
        sa.UniqueConstraint("job_id", "seq", name="uq_image_job_id_seq"),
    )
    op.create_index(
        "ix_image_audit",
        "image",
        ["job_id", "id"],
        postgresql_where=sa.text("in_audit = 1"),
        sqlite_where=sa.text("in_audit = 1"),
    )
    op.create_index(
        "ix_image_disputed",
        "image",
        ["job_id", "id"],
        postgresql_where=sa.text("state = 'disputed'"),
        sqlite_where=sa.text("state = 'disputed'"),
    )
    op.create_index(
        "ix_image_work",
        "image",
        ["job_id", "priority", "id"],
        postgresql_where=sa.text("state = 'open' AND n_taken < n_wanted"),
        sqlite_where=sa.text("state = 'open' AND n_taken < n_wanted"),
    )


def _people() -> None:
    op.create_table(
        "person",
        sa.Column("id", _ID, nullable=False),
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("name", sa.String(length=80), nullable=False),
        sa.Column("role", sa.String(length=8), nullable=False),
        sa.Column("source", sa.String(length=12), nullable=False),
        sa.Column("token_sha256", sa.String(length=64), nullable=True),
        sa.Column("token_expires_ms", sa.BigInteger(), nullable=True),
        sa.Column("token_used_ms", sa.BigInteger(), nullable=True),
        sa.Column("revoked_ms", sa.BigInteger(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_person_job_id_job"),
        sa.PrimaryKeyConstraint("id", name="pk_person"),
        sa.UniqueConstraint("job_id", "name", name="uq_person_job_id_name"),
        sa.UniqueConstraint("token_sha256", name="uq_person_token_sha256"),
    )


def _sessions() -> None:
    op.create_table(
        "session",
        sa.Column("id", _ID, nullable=False),
        sa.Column("person_id", _ID, nullable=False),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("csrf", sa.String(length=64), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_session_person_id_person"),
        sa.PrimaryKeyConstraint("id", name="pk_session"),
        sa.UniqueConstraint("secret_sha256", name="uq_session_secret_sha256"),
    )
    op.create_index("ix_session_person_id", "session", ["person_id"])


def _gold() -> None:
    op.create_table(
        "gold",
        sa.Column("id", _ID, nullable=False),
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("image_pk", _ID, nullable=False),
        sa.Column("truth", sa.Text(), nullable=False),
        sa.Column("shown", sa.Text(), nullable=False),
        sa.Column("source", sa.String(length=12), nullable=False),
        sa.Column("retired_ms", sa.BigInteger(), nullable=True),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["image_pk"], ["image.id"], name="fk_gold_image_pk_image"),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_gold_job_id_job"),
        sa.PrimaryKeyConstraint("id", name="pk_gold"),
        sa.UniqueConstraint("image_pk", name="uq_gold_image_pk"),
    )
    op.create_index("ix_gold_job_id", "gold", ["job_id"])


def _batches() -> None:
    op.create_table(
        "batch",
        sa.Column("id", _ID, nullable=False),
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("person_id", _ID, nullable=False),
        sa.Column("purpose", sa.String(length=8), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("lives", sa.Integer(), nullable=False),
        sa.Column("n_gold", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("lives >= 0", name="ck_batch_lives"),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_batch_job_id_job"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_batch_person_id_person"),
        sa.PrimaryKeyConstraint("id", name="pk_batch"),
    )
    op.create_index("ix_batch_job_id_state_expires_ms", "batch", ["job_id", "state", "expires_ms"])
    op.create_index("ix_batch_person_id_state", "batch", ["person_id", "state"])
    op.create_table(
        "task",
        sa.Column("id", _ID, nullable=False),
        sa.Column("batch_id", _ID, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("image_pk", _ID, nullable=False),
        sa.Column("gold_id", _ID, nullable=True),
        sa.Column("shown", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=8), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name="fk_task_batch_id_batch"),
        sa.ForeignKeyConstraint(["gold_id"], ["gold.id"], name="fk_task_gold_id_gold"),
        sa.ForeignKeyConstraint(["image_pk"], ["image.id"], name="fk_task_image_pk_image"),
        sa.PrimaryKeyConstraint("id", name="pk_task"),
        sa.UniqueConstraint(
            "batch_id", "attempt", "image_pk", name="uq_task_batch_id_attempt_image_pk"
        ),
        sa.UniqueConstraint(
            "batch_id", "attempt", "position", name="uq_task_batch_id_attempt_position"
        ),
    )


def _seen() -> None:
    op.create_table(
        "seen",
        sa.Column("person_id", _ID, nullable=False),
        sa.Column("image_pk", _ID, nullable=False),
        sa.Column("batch_id", _ID, nullable=False),
        sa.Column("n_exposures", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name="fk_seen_batch_id_batch"),
        sa.ForeignKeyConstraint(["image_pk"], ["image.id"], name="fk_seen_image_pk_image"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_seen_person_id_person"),
        sa.PrimaryKeyConstraint("person_id", "image_pk", name="pk_seen"),
    )
    op.create_table(
        "view",
        sa.Column("id", _ID, nullable=False),
        sa.Column("person_id", _ID, nullable=False),
        sa.Column("image_pk", _ID, nullable=False),
        sa.Column("task_id", _ID, nullable=True),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["image_pk"], ["image.id"], name="fk_view_image_pk_image"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_view_person_id_person"),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name="fk_view_task_id_task"),
        sa.PrimaryKeyConstraint("id", name="pk_view"),
    )


def _answers() -> None:
    op.create_table(
        "answer",
        sa.Column("id", _ID, nullable=False),
        sa.Column("task_id", _ID, nullable=False),
        sa.Column("batch_id", _ID, nullable=False),
        sa.Column("person_id", _ID, nullable=False),
        sa.Column("image_pk", _ID, nullable=False),
        sa.Column("gold_id", _ID, nullable=True),
        sa.Column("nonce", sa.String(length=40), nullable=False),
        sa.Column("drawing", sa.Text(), nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("received_ms", sa.BigInteger(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=False),
        sa.Column("n_added", sa.Integer(), nullable=False),
        sa.Column("n_deleted", sa.Integer(), nullable=False),
        sa.Column("n_moved", sa.Integer(), nullable=False),
        sa.Column("problems", sa.Text(), nullable=True),
        sa.Column("n_true", sa.Integer(), nullable=True),
        sa.Column("n_found", sa.Integer(), nullable=True),
        sa.Column("n_drawn", sa.Integer(), nullable=True),
        sa.Column("n_right", sa.Integer(), nullable=True),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name="fk_answer_batch_id_batch"),
        sa.ForeignKeyConstraint(["gold_id"], ["gold.id"], name="fk_answer_gold_id_gold"),
        sa.ForeignKeyConstraint(["image_pk"], ["image.id"], name="fk_answer_image_pk_image"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_answer_person_id_person"),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name="fk_answer_task_id_task"),
        sa.PrimaryKeyConstraint("id", name="pk_answer"),
        sa.UniqueConstraint("task_id", "nonce", name="uq_answer_task_id_nonce"),
    )
    op.create_index("ix_answer_batch_id", "answer", ["batch_id"])
    op.create_index(
        "ix_answer_gold",
        "answer",
        ["person_id", "gold_id"],
        postgresql_where=sa.text("gold_id IS NOT NULL"),
        sqlite_where=sa.text("gold_id IS NOT NULL"),
    )
    op.create_index("ix_answer_image_pk", "answer", ["image_pk"])
    op.create_index("ix_answer_person_id_id", "answer", ["person_id", "id"])


def _decisions() -> None:
    op.create_table(
        "decision",
        sa.Column("id", _ID, nullable=False),
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("image_pk", _ID, nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("drawing", sa.Text(), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("person_id", _ID, nullable=True),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        *_counts("n_before", "n_added", "n_deleted", "n_moved"),
        sa.ForeignKeyConstraint(["image_pk"], ["image.id"], name="fk_decision_image_pk_image"),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_decision_job_id_job"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_decision_person_id_person"),
        sa.PrimaryKeyConstraint("id", name="pk_decision"),
    )
    op.create_index("ix_decision_image_pk_id", "decision", ["image_pk", "id"])
    op.create_index("ix_decision_job_id_id", "decision", ["job_id", "id"])
    op.create_table(
        "undo",
        sa.Column("decision_id", _ID, autoincrement=False, nullable=False),
        sa.Column("person_id", _ID, nullable=True),
        sa.Column("made_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["decision_id"], ["decision.id"], name="fk_undo_decision_id_decision"
        ),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_undo_person_id_person"),
        sa.PrimaryKeyConstraint("decision_id", name="pk_undo"),
    )


def _events() -> None:
    op.create_table(
        "event",
        sa.Column("id", _ID, nullable=False),
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("person_id", _ID, nullable=True),
        sa.Column("what", sa.String(length=40), nullable=False),
        sa.Column("detail", sa.Text(), nullable=False),
        sa.Column("at_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_event_job_id_job"),
        sa.ForeignKeyConstraint(["person_id"], ["person.id"], name="fk_event_person_id_person"),
        sa.PrimaryKeyConstraint("id", name="pk_event"),
    )
    op.create_index("ix_event_job_id_what", "event", ["job_id", "what"])


def _tally() -> None:
    op.create_table(
        "tally",
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("minute_ms", sa.BigInteger(), nullable=False),
        sa.Column("n_done", sa.Integer(), nullable=False),
        sa.Column("worked_ms", sa.BigInteger(), nullable=False),
        *_counts(
            "n_found",
            "n_wanted",
            "n_settled",
            "n_disputed",
            "n_before",
            "n_added",
            "n_deleted",
            "n_moved",
        ),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_tally_job_id_job"),
        sa.PrimaryKeyConstraint("job_id", "minute_ms", name="pk_tally"),
    )


def _mechanical_turk() -> None:
    op.create_table(
        "hit",
        sa.Column("id", _ID, nullable=False),
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("hit_id", sa.String(length=80), nullable=False),
        sa.Column("is_sandbox", sa.Integer(), nullable=False),
        sa.Column("reward_cents", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_hit_job_id_job"),
        sa.PrimaryKeyConstraint("id", name="pk_hit"),
        sa.UniqueConstraint("hit_id", name="uq_hit_hit_id"),
    )
    op.create_table(
        "assignment",
        sa.Column("id", _ID, nullable=False),
        sa.Column("hit_pk", _ID, nullable=False),
        sa.Column("assignment_id", sa.String(length=80), nullable=False),
        sa.Column("person_id", _ID, nullable=False),
        sa.Column("batch_id", _ID, nullable=True),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("bonus_cents", sa.Integer(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.Column("ended_ms", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["batch_id"], ["batch.id"], name="fk_assignment_batch_id_batch"),
        sa.ForeignKeyConstraint(["hit_pk"], ["hit.id"], name="fk_assignment_hit_pk_hit"),
        sa.ForeignKeyConstraint(
            ["person_id"], ["person.id"], name="fk_assignment_person_id_person"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_assignment"),
        sa.UniqueConstraint("assignment_id", name="uq_assignment_assignment_id"),
    )


def _protect_sqlite() -> None:
    for table in APPEND_ONLY:
        for change in ("UPDATE", "DELETE"):
            op.execute(
                f"CREATE TRIGGER {table}_no_{change.lower()} BEFORE {change} ON {table} "
                f"BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"
            )


def _protect_postgresql() -> None:
    op.execute(
        "CREATE FUNCTION veilset_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$"
    )
    for table in APPEND_ONLY:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE "
            f"ON {table} FOR EACH STATEMENT EXECUTE FUNCTION veilset_append_only()"
        )
