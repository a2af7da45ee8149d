"""Exchanges, and what users said of them."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "exchanges",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("loop", sa.Text, nullable=False),
        sa.Column("version", sa.Text, nullable=False),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("user", sa.Text, nullable=False),
        sa.Column("conversation", sa.Text, nullable=False),
        sa.Column("messages", sa.Text, nullable=False),
        sa.Column("reply", sa.Text, nullable=False),
        sa.Column("finish", sa.Text, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("error", sa.Text, nullable=False),
        sa.Column("latency", sa.Float, nullable=False),
        sa.Column("first_token", sa.Float),
        sa.Column("prompt_tokens", sa.Integer, nullable=False),
        sa.Column("completion_tokens", sa.Integer, nullable=False),
        sa.Column("cached", sa.Boolean, nullable=False),
        sa.Column("shadow_of", sa.Text),
        sa.Column("size", sa.Integer, nullable=False),
    )
    op.create_index("exchanges_by_age", "exchanges", ["loop", "at", "size"])
    op.create_index("exchanges_by_user", "exchanges", ["loop", "user"])
    op.create_table(
        "feedback",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("exchange", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("thumb", sa.Text),
        sa.Column("rating", sa.Integer),
        sa.Column("correction", sa.Text),
        sa.Column("comment", sa.Text),
    )
    op.create_index("feedback_by_exchange", "feedback", ["exchange", "at"])
