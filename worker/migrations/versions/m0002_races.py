"""Races: jobs that have runs, and where each run was at each step."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    # In place, as SQLite and PostgreSQL both can: Alembic would have SQLite copy the table and drop
    # the old one, and with its rows would go all attempts.
    op.execute(
        "ALTER TABLE jobs ADD COLUMN parent_id VARCHAR(36) REFERENCES jobs (id) ON DELETE CASCADE"
    )
    op.create_index("jobs_by_parent", "jobs", ["parent_id", "id"])
    op.create_table(
        "points",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True),
        sa.Column(
            "race_id", sa.String(36), sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column(
            "run_id", sa.String(36), sa.ForeignKey("jobs.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("points", sa.JSON, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("points_by_race", "points", ["race_id", "id"])
    op.create_index("points_by_run", "points", ["run_id", "id"])


def downgrade() -> None:
    op.drop_table("points")
    # Without the column that tells them from other jobs, races and their runs mean nothing.
    op.execute("DELETE FROM jobs WHERE kind IN ('race', 'race_run')")
    op.drop_index("jobs_by_parent", "jobs")
    op.execute("ALTER TABLE jobs DROP COLUMN parent_id")
