"""Decisions of persons about rejected rows."""

from importlib.resources import files

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    """Plain SQL, from the file of the same name."""
    op.get_bind().exec_driver_sql(files("zoning_assets.storage.postgis").joinpath("sql", "0007_fixes.sql").read_text())
