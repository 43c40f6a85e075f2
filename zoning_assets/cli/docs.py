"""`zoning docs`: write the generated pages of the documentation, and build the site.

What belongs here: files and the call of mkdocs. What does not: the text of the pages (reference/).
"""

import subprocess
import sys
from pathlib import Path

import typer

from zoning_assets.cli import bootstrap
from zoning_assets.cli.display.output import line
from zoning_assets.errors import SettingInvalid

_ROOT = Path(__file__).parents[2]
#: Build the site in `.zoning/site`, as arguments of Python. Each warning, such as a broken link, is an error.
#: The theme's notice about MkDocs 2 is switched off.
BUILD = (
    "-c",
    "import os; os.environ['NO_MKDOCS_2_WARNING'] = '1'; from mkdocs.__main__ import cli;"
    " cli(['build', '--strict', '--quiet', '--site-dir', '.zoning/site'])",
)


def docs() -> None:
    """Write the generated reference pages (docs/reference) and build the documentation in .zoning/site."""
    from zoning_assets.cli.reference import PAGES  # noqa: PLC0415 - it imports every command

    folder = _ROOT / "docs" / "reference"
    if not folder.is_dir():
        do = "clone it and run `./zoning docs` there"
        raise SettingInvalid("the documentation needs a clone of the repository", where="zoning docs", do=do)
    url = bootstrap.bring_up_database()
    for name, page in PAGES.items():
        (folder / name).write_text(page(url), encoding="utf-8")
    done = subprocess.run([sys.executable, *BUILD], cwd=_ROOT, check=False)
    if done.returncode:
        raise typer.Exit(1)
    line(f"zoning: the pages are in {_ROOT / '.zoning' / 'site' / 'index.html'}")
