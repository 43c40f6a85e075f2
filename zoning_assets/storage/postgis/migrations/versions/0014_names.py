"""The column `deed` of zoning.audit and zoning.fix is named `action`."""

from importlib.resources import files

from alembic import op

revision = "0014"
down_revision = "0013"


def upgrade() -> None:
    """Plain SQL, from the file of the same name."""
    op.get_bind().exec_driver_sql(files("zoning_assets.storage.postgis").joinpath("sql", "0014_names.sql").read_text())
