"""The tables of the traffic database, as they are now; `migrations/` is how they came about.

A feedback row names its exchange without a foreign key: the two may come in either order, and from a spool.
"""

from sqlalchemy import Boolean, Column, Float, Index, Integer, MetaData, Table, Text

meta = MetaData()

exchanges = Table(
    "exchanges",
    meta,
    Column("id", Text, primary_key=True),
    Column("at", Float, nullable=False),
    Column("loop", Text, nullable=False),
    Column("version", Text, nullable=False),
    Column("role", Text, nullable=False),
    Column("key", Text, nullable=False),
    Column("user", Text, nullable=False),
    Column("conversation", Text, nullable=False),
    Column("messages", Text, nullable=False),
    Column("reply", Text, nullable=False),
    Column("finish", Text, nullable=False),
    Column("status", Integer, nullable=False),
    Column("error", Text, nullable=False),
    Column("latency", Float, nullable=False),
    Column("first_token", Float),
    Column("prompt_tokens", Integer, nullable=False),
    Column("completion_tokens", Integer, nullable=False),
    Column("cached", Boolean, nullable=False),
    Column("shadow_of", Text),
    Column("size", Integer, nullable=False),
    Index("exchanges_by_age", "loop", "at", "size"),
    Index("exchanges_by_user", "loop", "user"),
)
"""One row for each answered request; `messages` is JSON, `size` the bytes of its texts."""

feedback = Table(
    "feedback",
    meta,
    Column("id", Text, primary_key=True),
    Column("exchange", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("key", Text, nullable=False),
    Column("thumb", Text),
    Column("rating", Integer),
    Column("correction", Text),
    Column("comment", Text),
    Index("feedback_by_exchange", "exchange", "at"),
)
"""What users said; `id` is a hash of the rest, so that what is taken in twice is there once."""

intents = Table(
    "intents",
    meta,
    Column("exchange", Text, primary_key=True),
    Column("loop", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("label", Text, nullable=False),
    Column("how", Text, nullable=False),
    Column("confidence", Float, nullable=False),
    Column("served", Text),
    Index("intents_by_loop", "loop", "at"),
)
"""What a question wanted: `label` by `how` (correction, thumb, agreement, encoder, cluster), and the label that was
served, where the reply was one."""

collected = Table(
    "collected",
    meta,
    Column("loop", Text, primary_key=True),
    Column("what", Text, primary_key=True),
    Column("ref", Text, primary_key=True),
    Column("at", Float, nullable=False),
    Column("outcome", Text, nullable=False),
)
"""What `collect` has dealt with: of the kind `what`, by its id, and what came of it."""

HEAD = "0002"
"""The revision that these tables are."""
