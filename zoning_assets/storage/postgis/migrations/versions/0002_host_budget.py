"""Rate limits of hosts."""

from importlib.resources import files

from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Plain SQL, from the file of the same name."""
    op.get_bind().exec_driver_sql(
        files("zoning_assets.storage.postgis").joinpath("sql", "0002_host_budget.sql").read_text()
    )
