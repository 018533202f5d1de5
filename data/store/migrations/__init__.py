"""The history of the store's schema, run by Alembic: one module a step, never changed once released."""
