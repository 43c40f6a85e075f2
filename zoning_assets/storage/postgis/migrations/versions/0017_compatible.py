"""The oldest version of the program that fits the schema, and vacuum settings of the large tables."""

from importlib.resources import files

from alembic import op

revision = "0017"
down_revision = "0016"


def upgrade() -> None:
    """Plain SQL, from the file of the same name."""
    sql = files("zoning_assets.storage.postgis").joinpath("sql", "0017_compatible.sql")
    op.get_bind().exec_driver_sql(sql.read_text())
