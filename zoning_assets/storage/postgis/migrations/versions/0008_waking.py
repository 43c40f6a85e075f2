"""Freshness of feeds, and failures of partitions."""

from importlib.resources import files

from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Plain SQL, from the file of the same name."""
    op.get_bind().exec_driver_sql(files("zoning_assets.storage.postgis").joinpath("sql", "0008_waking.sql").read_text())
