"""Zoning per parcel, releases, changes, amendments."""

from importlib.resources import files

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Plain SQL, from the file of the same name."""
    op.get_bind().exec_driver_sql(
        files("zoning_assets.storage.postgis").joinpath("sql", "0003_changes.sql").read_text()
    )
