"""Batches, parcels, districts, their versions, and rejections."""

from importlib.resources import files

from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Plain SQL, from the file of the same name."""
    op.get_bind().exec_driver_sql(files("zoning_assets.storage.postgis").joinpath("sql", "0001_first.sql").read_text())
