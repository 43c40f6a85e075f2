"""Indexes and statistics with which the cost of a query does not depend on other jurisdictions."""

from importlib.resources import files

from alembic import op

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    """Plain SQL, from the file of the same name."""
    op.get_bind().exec_driver_sql(
        files("zoning_assets.storage.postgis").joinpath("sql", "0010_any_size.sql").read_text()
    )
