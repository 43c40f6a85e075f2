"""The queue, and the ids of received messages."""

from importlib.resources import files

from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Plain SQL, from the file of the same name."""
    op.get_bind().exec_driver_sql(files("zoning_assets.storage.postgis").joinpath("sql", "0005_queue.sql").read_text())
