"""`zoning test`: everything that must hold before a change lands."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from zoning_assets.cli.display.output import line
from zoning_assets.cli.docs import BUILD
from zoning_assets.errors import SettingInvalid

_ROOT = Path(__file__).parents[2]
#: An interrupted pytest has so long to end its database, seconds.
_PYTEST_ENDS_S = 7.0

#: name -> the command, as a module of this Python. Order: what fails soonest, first.
_QUICK = {
    "lint": ["-m", "ruff", "check", "."],
    "format": ["-m", "ruff", "format", "--check", "."],
    "contracts": ["-c", "from importlinter.cli import lint_imports_command as run; run()"],
    "docs": [*BUILD],
}
#: One worker more than cores, as many tests wait for processes.
_EVERYDAY = ["-n", str((os.cpu_count() or 1) + 1), "-m", "not slow"]
#: One after the other: some measure by the clock.
_SLOW = ["-m", "slow"]
_NO_TESTS = 5  # pytest's exit status where it was given words that select none


def test(
    context: typer.Context,
    *,
    everything: Annotated[bool, typer.Option("--all", help="The slow and long tests too.")] = False,
) -> None:
    """Lint, format, import contracts, documentation, types, tests. What follows is handed to pytest."""
    if not (_ROOT / "tests").is_dir():
        raise SettingInvalid(
            "the tests need a clone of the repository", where="zoning test", do="clone it and run `./zoning test` there"
        )
    failed = [name for name, command in _QUICK.items() if _run(name, command)]
    with _started(["-m", "mypy"]) as types:  # beside the tests: it takes a minute where nothing is cached
        rounds = {"tests": _EVERYDAY, "slow tests": _SLOW} if everything else {"tests": _EVERYDAY}
        try:
            ended = {name: _run(name, ["-m", "pytest", *words, *context.args]) for name, words in rounds.items()}
        except KeyboardInterrupt:
            types.kill()
            raise
        failed += [name for name, status in ended.items() if status not in {0, _NO_TESTS}]
        failed += ["tests"] if {*ended.values()} == {_NO_TESTS} else []
        failed += ["types"] if _ended("types", types) else []
    if failed:
        line(f"zoning: failed: {', '.join(failed)}")
        raise typer.Exit(1)


def _run(name: str, arguments: list[str]) -> int:
    """Run a command of this Python to its end; its exit status."""
    began = time.monotonic()
    with subprocess.Popen([sys.executable, *arguments], cwd=_ROOT) as process:
        try:
            status = process.wait()
        except KeyboardInterrupt:  # pytest ends its database and its other programs itself
            process.send_signal(signal.SIGINT)
            process.wait(_PYTEST_ENDS_S)
            raise
    _report(name, status, f" in {time.monotonic() - began:.1f} s")
    return status


def _started(arguments: list[str]) -> "subprocess.Popen[str]":
    """Start a command of this Python, and keep what it prints for later."""
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, *arguments], cwd=_ROOT, stdout=pipe, stderr=subprocess.STDOUT, text=True)


def _ended(name: str, process: "subprocess.Popen[str]") -> int:
    """Wait for a command that was started, and print what it printed; its exit status."""
    printed, _ = process.communicate()
    line(printed.rstrip())
    _report(name, process.returncode)
    return process.returncode


def _report(name: str, status: int, took: str = "") -> None:
    outcome = {0: "passed", _NO_TESTS: "had nothing to do"}.get(status, "FAILED")
    line(f"zoning test: {name} {outcome}{took}")
