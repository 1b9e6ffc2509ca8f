"""The tables of the store. Structs stand in them as JSON, beside the columns that queries need."""

from __future__ import annotations

from sqlalchemy import Boolean, Column, Float, ForeignKey, Index, Integer, MetaData, Table, Text, text

SCHEMA_VERSION = 1

metadata = MetaData()

about = Table("about", metadata, Column("key", Text, primary_key=True), Column("value", Text, nullable=False))

episodes = Table(
    "episodes",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("rule", Text, nullable=False),
    Column("component", Text, nullable=False),
    Column("labels", Text, nullable=False),
    Column("opened_at", Float, nullable=False),
    Column("closed_at", Float),
    Column("decide_at", Float, comment="when to decide next; NULL: nothing more to decide"),
    Index("episodes_decide_at", "decide_at"),
    # One open episode for each rule and component, whatever is delivered at the same moment.
    Index("episodes_open", "rule", "component", unique=True, sqlite_where=text("closed_at IS NULL")),
)

alerts = Table(
    "alerts",
    metadata,
    Column("fingerprint", Text, primary_key=True),
    Column("episode_id", ForeignKey("episodes.id")),
    Column("status", Text, nullable=False),
    Column("body", Text, nullable=False),
    Column("received_at", Float, nullable=False),
    Index("alerts_episode", "episode_id", "status"),
)

decisions = Table(
    "decisions",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("episode_id", ForeignKey("episodes.id"), nullable=False),
    Column("at", Float, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("policy", Text),
    Column("body", Text, nullable=False),
    Index("decisions_episode", "episode_id"),
)

executions = Table(
    "executions",
    metadata,
    Column("id", Text, primary_key=True),
    # Nothing acts twice for one episode.
    Column("episode_id", ForeignKey("episodes.id"), nullable=False, unique=True),
    Column("component", Text, nullable=False),
    Column("policy", Text, nullable=False),
    Column("state", Text, nullable=False),
    Column("locked", Boolean, nullable=False),
    Column("created_at", Float, nullable=False),
    # What is counted and shown as metrics, so that a scrape need not read every body.
    Column("executor", Text, nullable=False),
    Column("executed_at", Float),
    Column("ended_at", Float),
    Column("verdict", Text),
    Column("grade", Text),
    Column("effect_ratio", Float),
    Column("revision", Integer, nullable=False),
    Column("body", Text, nullable=False),
    Index("executions_created_at", "created_at"),
    Index("executions_latest", "policy", "component", "executed_at"),
    Index("executions_verdict", "policy", "executor", "verdict", "grade", "ended_at"),
    Index("executions_state", "state", "policy"),
    # One action on one component at a time.
    Index("executions_busy", "component", unique=True, sqlite_where=text("state IN ('pending', 'running')")),
)

log = Table(
    "log",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("execution_id", ForeignKey("executions.id"), nullable=False),
    Column("at", Float, nullable=False),
    Column("phase", Text, nullable=False),
    Column("text", Text, nullable=False),
    Index("log_execution", "execution_id"),
)
