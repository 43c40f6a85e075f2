"""The words and what they start; and the one place where an error becomes a line and an exit status."""

import logging
import os
import sys
from pathlib import Path
from typing import NoReturn

import typer

from zoning_assets import logs
from zoning_assets.cli import bench, database, environment, queue, show, signals, sync
from zoning_assets.cli.accept import accept, discard
from zoning_assets.cli.amend import amend, amendments
from zoning_assets.cli.change_feed import changes
from zoning_assets.cli.changes import explain, parcel, preview_rules, watch
from zoning_assets.cli.demo import demo
from zoning_assets.cli.fix import fix, rejections
from zoning_assets.cli.hold import pause, resume
from zoning_assets.cli.metrics import metrics
from zoning_assets.cli.onboard import doctor, onboard
from zoning_assets.cli.probe import probe
from zoning_assets.cli.remove import remove
from zoning_assets.cli.retry import retry
from zoning_assets.cli.rollback import rollback
from zoning_assets.cli.status import status
from zoning_assets.cli.test import test
from zoning_assets.cli.up import up
from zoning_assets.cli.verify import verify
from zoning_assets.errors import Defect, ZoningError, of_machine

_log = logging.getLogger(__name__)

app = typer.Typer(
    name="zoning",
    help="Harvest parcels and zoning from municipal portals into one PostGIS database that is true.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(database.app, name="db", help="The database: up, down, url, psql, tables.")
app.add_typer(bench.app, name="bench", help="Measurements.")
app.add_typer(queue.app, name="queue", help="Messages: peek, replay, purge, schema.")
app.command("demo")(demo)
app.command("sync")(sync.sync)
app.command("changes")(changes)
app.command("parcel")(parcel)
app.command("explain")(explain)
app.command("watch")(watch)
app.command("preview-rules")(preview_rules)
app.command("amend")(amend)
app.command("amendments")(amendments)
app.command("publish-amendment")(queue.publish_amendment)
app.command("rejections")(rejections)
app.command("fix")(fix)
app.command("replay")(sync.replay)
app.command("pause")(pause)
app.command("resume")(resume)
app.command("rollback")(rollback)
app.command("remove")(remove)
app.command("verify")(verify)
app.command("probe")(probe)
app.command("accept")(accept)
app.command("retry")(retry)
app.command("discard")(discard)
app.command("onboard")(onboard)
app.command("doctor")(doctor)
app.command("status")(status)
app.command("metrics")(metrics)
app.command("test", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(test)
app.command("up")(up)
app.command("serve", hidden=True)(up)

_FAILED, _MISUSED, _STOPPED = 1, 2, 130


def main() -> None:
    """Run the command line; exit 0 done, 1 failed, 2 wrong usage or configuration."""
    faults = environment.settings().home / "faults.log"
    logs.for_people(faults=faults)
    try:
        status = _run()
    except typer.TyperException as error:
        _misused(error)
    except (typer.Abort, KeyboardInterrupt):
        status = _STOPPED
    except ZoningError as error:
        show.failed(str(error), error.exit_status)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_FAILED)
    except Exception as error:  # noqa: BLE001 - no stack for people: it goes to a file
        show.failed(_unforeseen(error, faults), _FAILED)
    if status == _STOPPED:
        show.failed(signals.STOPPED, _STOPPED)
    sys.exit(status if isinstance(status, int) else 0)  # what typer.Exit was given


def _run() -> object:
    """What the word gives, or raises. After a signal, errors are expected and are not reported."""
    try:
        status = app(prog_name="zoning", standalone_mode=False)
    except BaseException:
        signals.end_if_one_came()
        raise
    if status:  # Typer makes a status of KeyboardInterrupt
        signals.end_if_one_came()
    return status


def _unforeseen(error: Exception, faults: Path) -> str:
    """What this machine refused, in a line; else that it is a fault of ours, whose stack is kept."""
    if known := of_machine(error, "this machine"):
        return str(known)
    _log.error("zoning: unforeseen", exc_info=error)
    return str(Defect("a fault of this program", where="zoning", do=f"report it, with the end of {faults}"))


def _misused(error: typer.TyperException) -> NoReturn:
    """What Typer says of a wrong word, in one line, and where the right ones are listed; no word at all: the list."""
    said = error.format_message()
    if "\n" in said:
        show.line(said)
        sys.exit(_MISUSED)
    context = getattr(error, "ctx", None)
    where = context.command_path if context else "zoning"
    said = said.rstrip(" .")
    show.failed(f"{said}{' See' if said.endswith('?') else '; see'} `{where} --help`", _MISUSED)
