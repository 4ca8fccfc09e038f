"""Keys and sessions; whose each job and data set is; and what logs, traces and metrics need."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "keys",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("name", sa.String(100), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("scopes", sa.JSON, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("expires_at", sa.Float),
        sa.Column("revoked_at", sa.Float),
    )
    op.create_table(
        "sessions",
        sa.Column("sha256", sa.String(64), primary_key=True),
        sa.Column(
            "key_id", sa.String(16), sa.ForeignKey("keys.id", ondelete="CASCADE"), nullable=False
        ),
        sa.Column("expires_at", sa.Float, nullable=False),
    )
    # In place, as for races. What there is already is nobody's.
    op.execute("ALTER TABLE jobs ADD COLUMN key_id VARCHAR(16) NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE jobs ADD COLUMN request_id VARCHAR(64)")
    op.execute("ALTER TABLE jobs ADD COLUMN traceparent VARCHAR(64)")
    op.execute("ALTER TABLE datasets ADD COLUMN key_id VARCHAR(16) NOT NULL DEFAULT ''")
    op.execute("ALTER TABLE workers ADD COLUMN memory_bytes BIGINT")
    op.create_index("jobs_by_key", "jobs", ["key_id", "id"])
    # Metrics are read from this alone: the rows themselves are long.
    op.create_index(
        "jobs_by_times",
        "jobs",
        ["kind", "state", "outcome", "created_at", "started_at", "finished_at"],
    )


def downgrade() -> None:
    op.drop_index("jobs_by_times", "jobs")
    op.drop_index("jobs_by_key", "jobs")
    op.execute("ALTER TABLE workers DROP COLUMN memory_bytes")
    op.execute("ALTER TABLE datasets DROP COLUMN key_id")
    for name in ("traceparent", "request_id", "key_id"):
        op.execute(f"ALTER TABLE jobs DROP COLUMN {name}")
    op.drop_table("sessions")
    op.drop_table("keys")
