# SPDX-License-Identifier: Apache-2.0
"""HITs that are planned before they are paid for, and carry a secret.

The tables of the first version were never written to, so they are made anew.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the two tables of Mechanical Turk anew."""
    op.drop_table("assignment")
    op.drop_table("hit")
    op.create_table(
        "hit",
        sa.Column("id", _ID, nullable=False),
        sa.Column("job_id", _ID, nullable=False),
        sa.Column("token", sa.String(length=64), nullable=False),
        sa.Column("hit_id", sa.String(length=80), nullable=True),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("is_sandbox", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=10), nullable=False),
        sa.Column("reward_cents", sa.Integer(), nullable=False),
        sa.Column("duration_s", sa.Integer(), nullable=False),
        sa.Column("expires_ms", sa.BigInteger(), nullable=False),
        sa.Column("created_ms", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name="fk_hit_job_id_job"),
        sa.PrimaryKeyConstraint("id", name="pk_hit"),
        sa.UniqueConstraint("token", name="uq_hit_token"),
        sa.UniqueConstraint("hit_id", name="uq_hit_hit_id"),
        sa.UniqueConstraint("secret_sha256", name="uq_hit_secret_sha256"),
    )
    op.create_index("ix_hit_job_id_state", "hit", ["job_id", "state"])
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
        sa.UniqueConstraint("batch_id", name="uq_assignment_batch_id"),
    )
    op.create_index("ix_assignment_hit_pk_state", "assignment", ["hit_pk", "state"])
