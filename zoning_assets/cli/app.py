"""The words and what they start; and the one place where an error becomes a line and an exit status."""

import os
import sys
from typing import NoReturn

import click
import typer

from zoning_assets.cli import bench, database, sync
from zoning_assets.cli.demo import demo
from zoning_assets.cli.onboard import doctor, onboard
from zoning_assets.cli.probe import accept, probe
from zoning_assets.cli.show import line
from zoning_assets.cli.status import status
from zoning_assets.cli.test import test
from zoning_assets.cli.up import up
from zoning_assets.errors import ZoningError

app = typer.Typer(
    name="zoning",
    help="Harvest parcels and zoning from municipal portals into one PostGIS database that is true.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(database.app, name="db", help="The database: up, down, url, psql.")
app.add_typer(bench.app, name="bench", help="Measurements.")
app.command("demo")(demo)
app.command("sync")(sync.sync)
app.command("probe")(probe)
app.command("accept")(accept)
app.command("onboard")(onboard)
app.command("doctor")(doctor)
app.command("status")(status)
app.command("test", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(test)
app.command("up")(up)
app.command("serve", hidden=True)(up)

_STOPPED = 130


def main() -> None:
    """Run the command line; exit 0 done, 1 failed, 2 wrong usage or configuration."""
    try:
        status = app(standalone_mode=False)
        _end(status)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt):
        _end(_STOPPED)
    except ZoningError as error:
        line(f"zoning: {error}")
        sys.exit(error.exit_status)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _end(status: object) -> NoReturn:
    """Exit with what Typer returned: what typer.Exit or Ctrl-C was given, else nothing."""
    if status == _STOPPED:
        line("zoning: stopped; what was published stays, the same command does the rest")
    sys.exit(status if isinstance(status, int) else 0)
