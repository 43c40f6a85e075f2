"""Alembic's entry: runs the migrations on the connection that database.py passes in, then sets all comments,
and the oldest version of the program that fits.

Both belong to the newest schema, so they are set only where the newest migration was applied.
"""

from importlib.resources import files

from alembic import context

attributes = context.config.attributes
connection = attributes["connection"]
context.configure(connection=connection, version_table="schema_version", version_table_schema="zoning")
with context.begin_transaction():
    context.run_migrations()
    if context.get_context().get_current_revision() == context.get_head_revision():
        oldest = {"oldest": attributes["compatible_from"]}
        connection.exec_driver_sql("UPDATE zoning.schema_version SET compatible_from = %(oldest)s", oldest)
        connection.exec_driver_sql(files("zoning_assets.storage.postgis").joinpath("sql", "comments.sql").read_text())
