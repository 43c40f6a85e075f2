"""Subscriptions, and the log of changes and batches that they read."""

from importlib.resources import files

from alembic import op

revision = "0016"
down_revision = "0015"


def upgrade() -> None:
    """Plain SQL, from the file of the same name."""
    sql = files("zoning_assets.storage.postgis").joinpath("sql", "0016_subscriptions.sql")
    op.get_bind().exec_driver_sql(sql.read_text())
