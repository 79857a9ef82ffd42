"""Alembic's hook: run the migrations on the connection that `upgrade` handed over."""

from __future__ import annotations

from alembic import context

from mirrorproof_sidecar.store.schema import METADATA

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=METADATA,
    transactional_ddl=True,
)
context.run_migrations()
