"""Races: jobs that have runs, and where each run was at each step."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    with op.batch_alter_table("jobs") as jobs:
        jobs.add_column(sa.Column("parent_id", sa.String(36)))
        jobs.create_foreign_key(
            "jobs_parent_id_fkey", "jobs", ["parent_id"], ["id"], ondelete="CASCADE"
        )
        jobs.create_index("jobs_by_parent", ["parent_id", "id"])
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
    with op.batch_alter_table("jobs") as jobs:
        jobs.drop_index("jobs_by_parent")
        jobs.drop_constraint("jobs_parent_id_fkey", type_="foreignkey")
        jobs.drop_column("parent_id")
