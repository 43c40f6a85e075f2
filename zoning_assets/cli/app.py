"""Run a command, and convert errors to one line and an exit status."""

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
        _exit_misused(error)
    except (typer.Abort, KeyboardInterrupt):
        status = _STOPPED
    except ZoningError as error:
        output.failed(str(error), error.exit_status)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(_FAILED)
    except Exception as error:  # noqa: BLE001 - the stack trace goes to a file
        output.failed(_unexpected(error, faults), _FAILED)
    if status == _STOPPED:
        output.failed(signals.STOPPED, _STOPPED)
    sys.exit(status if isinstance(status, int) else 0)  # the status of typer.Exit


def _run() -> object:
    """Run the command and return its result. After a signal, errors are expected and are not reported."""
    try:
        status = CommandTable().main(prog_name="zoning", standalone_mode=False)
    except BaseException:
        signals.end_if_received()
        raise
    if status:  # Typer converts KeyboardInterrupt to a status
        signals.end_if_received()
    return status


def _unexpected(error: Exception, faults: Path) -> str:
    """Describe an unexpected exception in one line. The stack trace of a defect goes to the log."""
    if known := machine_error(error, "this machine"):
        return str(known)
    _log.error("zoning: unexpected error", exc_info=error)
    return str(Defect("a fault of this program", where="zoning", do=f"report it, with the end of {faults}"))


def _exit_misused(error: typer.TyperException) -> NoReturn:
    """Print Typer's message about wrong usage in one line that names `--help`. Without a command, print the help."""
    message = error.format_message()
    if "\n" in message:
        output.line(message)
        sys.exit(_MISUSED)
    context = getattr(error, "ctx", None)
    where = context.command_path if context else "zoning"
    message = message.replace(": Value error, ", ": ").rstrip(" .")  # Typer's words for a wrong choice
    output.failed(f"{message}{' See' if message.endswith('?') else '; see'} `{where} --help`", _MISUSED)
