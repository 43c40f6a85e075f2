"""`zoning test`: everything that must hold before a change lands."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from zoning_assets.cli.show import line
from zoning_assets.errors import SettingInvalid

_ROOT = Path(__file__).parents[2]

#: name -> the command, as a module of this Python. Order: what fails soonest, first.
_QUICK = {
    "lint": ["-m", "ruff", "check", "."],
    "format": ["-m", "ruff", "format", "--check", "."],
    "contracts": ["-c", "from importlinter.cli import lint_imports_command as run; run()"],
}
#: One worker more than cores, as many tests wait for processes. The tests of an `xdist_group` share a worker.
_TESTS = ["-m", "pytest", "-n", str((os.cpu_count() or 1) + 1), "--dist", "loadgroup"]


def test(
    context: typer.Context,
    *,
    everything: Annotated[bool, typer.Option("--all", help="The slow and long tests too.")] = False,
) -> None:
    """Lint, format, import contracts, types, tests. What follows is handed to pytest."""
    if not (_ROOT / "tests").is_dir():
        raise SettingInvalid(
            "the tests need a clone of the repository", where="zoning test", do="clone it and run `./zoning test` there"
        )
    failed = [name for name, command in _QUICK.items() if not _run(name, command)]
    with _started(["-m", "mypy"]) as types:  # beside the tests: it takes a minute where nothing is cached
        chosen = [] if everything else ["-m", "not slow"]
        failed += [] if _run("tests", [*_TESTS, *chosen, *context.args]) else ["tests"]
        failed += [] if _ended("types", types) else ["types"]
    if failed:
        line(f"zoning: failed: {', '.join(failed)}")
        raise typer.Exit(1)


def _run(name: str, arguments: list[str]) -> bool:
    """Run a command of this Python to its end; whether it passed."""
    began = time.monotonic()
    done = subprocess.run([sys.executable, *arguments], cwd=_ROOT, check=False)
    line(f"zoning test: {name} {'passed' if done.returncode == 0 else 'FAILED'} in {time.monotonic() - began:.1f} s")
    return done.returncode == 0


def _started(arguments: list[str]) -> "subprocess.Popen[str]":
    """Start a command of this Python, and keep what it prints for later."""
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, *arguments], cwd=_ROOT, stdout=pipe, stderr=subprocess.STDOUT, text=True)


def _ended(name: str, process: "subprocess.Popen[str]") -> bool:
    """Wait for a command that was started, and print what it printed; whether it passed."""
    printed, _ = process.communicate()
    line(printed.rstrip())
    line(f"zoning test: {name} {'passed' if process.returncode == 0 else 'FAILED'}")
    return process.returncode == 0
