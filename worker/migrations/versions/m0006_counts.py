"""An index that alone tells how many jobs of whom are unfinished, which every new job asks."""

from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.create_index("jobs_by_owner", "jobs", ["state", "key_id", "parent_id"])


def downgrade() -> None:
    op.drop_index("jobs_by_owner", "jobs")
