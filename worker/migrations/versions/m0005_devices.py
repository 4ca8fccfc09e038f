"""Which kind of device does a job, so that its message is sent again to the right workers."""

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    # In place, as for races.
    op.execute("ALTER TABLE jobs ADD COLUMN device_kind VARCHAR(8) NOT NULL DEFAULT 'cpu'")


def downgrade() -> None:
    op.execute("ALTER TABLE jobs DROP COLUMN device_kind")
