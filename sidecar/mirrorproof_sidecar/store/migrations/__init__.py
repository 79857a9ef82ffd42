"""Migrations of the store, run at start. Knows Alembic. Must not know what the tables are for."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection

__all__ = ["upgrade"]


def upgrade(connection: Connection, revision: str = "head") -> None:
    """Bring the tables to `revision`, inside the transaction that is open on `connection`."""
    config = Config()
    config.set_main_option("script_location", "mirrorproof_sidecar:store/migrations")
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    command.upgrade(config, revision)
