"""What Alembic runs before the steps: it takes the open transaction of `data.store.migrate`, which holds the lock."""

from __future__ import annotations

from alembic import context

from data.store.schema import METADATA, VERSION_TABLE

__all__ = ["run"]


def run() -> None:
    """Run the steps on the connection that the caller put into the configuration."""
    context.configure(
        connection=context.config.attributes["connection"],
        target_metadata=METADATA,
        version_table=VERSION_TABLE,
        transactional_ddl=True,  # SQLite can, once its driver leaves BEGIN to us
    )
    context.run_migrations()


# Alembic loads this file under the name below; whoever else imports it, such as a test that reads examples, has no
# database at hand.
if __name__ == "env_py":
    run()
