"""What questions wanted, and what `collect` has dealt with."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "intents",
        sa.Column("exchange", sa.Text, primary_key=True),
        sa.Column("loop", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("label", sa.Text, nullable=False),
        sa.Column("how", sa.Text, nullable=False),
        sa.Column("confidence", sa.Float, nullable=False),
        sa.Column("served", sa.Text),
    )
    op.create_index("intents_by_loop", "intents", ["loop", "at"])
    op.create_table(
        "collected",
        sa.Column("loop", sa.Text, primary_key=True),
        sa.Column("what", sa.Text, primary_key=True),
        sa.Column("ref", sa.Text, primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("outcome", sa.Text, nullable=False),
    )
