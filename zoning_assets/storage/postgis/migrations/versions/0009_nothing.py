"""A change without an old or new value has NULL there."""

from importlib.resources import files

from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    """Plain SQL, from the file of the same name."""
    op.get_bind().exec_driver_sql(
        files("zoning_assets.storage.postgis").joinpath("sql", "0009_nothing.sql").read_text()
    )
