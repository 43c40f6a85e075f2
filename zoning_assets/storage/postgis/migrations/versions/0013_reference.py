"""geometry_columns works, and zoned_parcel has a key, the shape, and one meaning of zoning_code."""

from importlib.resources import files

from alembic import op

revision = "0013"
down_revision = "0010"


def upgrade() -> None:
    """Plain SQL, from the file of the same name."""
    op.get_bind().exec_driver_sql(
        files("zoning_assets.storage.postgis").joinpath("sql", "0013_reference.sql").read_text()
    )
