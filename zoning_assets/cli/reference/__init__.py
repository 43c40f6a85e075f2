"""The reference pages of the documentation, generated from the code and the database.

What belongs here: one module a page of docs/reference, each with a function that returns Markdown. What does not: pages
that are written by hand.
"""

from collections.abc import Callable, Mapping

from zoning_assets.cli.reference import command_page, metrics_page, settings_page, toml_page
from zoning_assets.storage.postgis import schema_reference

#: File in docs/reference -> its text, made from the address of a database with the newest schema.
PAGES: Mapping[str, Callable[[str], str]] = {
    "cli.md": lambda _: command_page.markdown(),
    "jurisdiction-file.md": lambda _: toml_page.markdown(),
    "settings.md": lambda _: settings_page.markdown(),
    "metrics.md": metrics_page.markdown,
    "tables.md": schema_reference.markdown,
}
