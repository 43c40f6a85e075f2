"""Running a command; and the one place where an error becomes a line and an exit status."""

import logging
import os
import sys
from pathlib import Path
from typing import NoReturn

import typer

from zoning_assets import log_config
from zoning_assets.cli import signals
from zoning_assets.cli.commands import CommandTable
from zoning_assets.cli.display import output
from zoning_assets.errors import Defect, ZoningError, machine_error
from zoning_assets.settings import Settings

_log = logging.getLogger(__name__)

_FAILED, _MISUSED, _STOPPED = 1, 2, 130


def main() -> None:
    """Run the command line; exit 0 done, 1 failed, 2 wrong usage or configuration."""
    faults = Settings.of(os.environ).home / "faults.log"
    log_config.log_to_terminal(faults=faults)
    try:
        status = _run()
    except typer.TyperException as error:
        _misused(error)
    except (typer.Abort, KeyboardInterrupt):
        status = _STOPPED
    except ZoningError as error:
        output.failed(str(error), error.exit_status)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_FAILED)
    except Exception as error:  # noqa: BLE001 - no stack for people: it goes to a file
        output.failed(_unforeseen(error, faults), _FAILED)
    if status == _STOPPED:
        output.failed(signals.STOPPED, _STOPPED)
    sys.exit(status if isinstance(status, int) else 0)  # what typer.Exit was given


def _run() -> object:
    """What the word gives, or raises. After a signal, errors are expected and are not reported."""
    try:
        status = CommandTable().main(prog_name="zoning", standalone_mode=False)
    except BaseException:
        signals.end_if_one_came()
        raise
    if status:  # Typer makes a status of KeyboardInterrupt
        signals.end_if_one_came()
    return status


def _unforeseen(error: Exception, faults: Path) -> str:
    """What this machine refused, in a line; else that it is a fault of ours, whose stack is kept."""
    if known := machine_error(error, "this machine"):
        return str(known)
    _log.error("zoning: unforeseen", exc_info=error)
    return str(Defect("a fault of this program", where="zoning", do=f"report it, with the end of {faults}"))


def _misused(error: typer.TyperException) -> NoReturn:
    """What Typer says of a wrong word, in one line, and where the right ones are listed; no word at all: the list."""
    said = error.format_message()
    if "\n" in said:
        output.line(said)
        sys.exit(_MISUSED)
    context = getattr(error, "ctx", None)
    where = context.command_path if context else "zoning"
    said = said.rstrip(" .")
    output.failed(f"{said}{' See' if said.endswith('?') else '; see'} `{where} --help`", _MISUSED)
