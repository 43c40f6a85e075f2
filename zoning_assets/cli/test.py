"""`zoning test`: run all checks that a change must pass."""

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
#: How long an interrupted pytest may take to stop its database, seconds.
_PYTEST_ENDS_S = 7.0

#: name -> arguments of Python. The fastest checks are first.
_QUICK = {
    "lint": ["-m", "ruff", "check", "."],
    "format": ["-m", "ruff", "format", "--check", "."],
    "contracts": ["-c", "from importlinter.cli import lint_imports_command as run; run()"],
    "docs": [*BUILD],
}
#: Two workers more than cores, because many tests wait for processes.
_FAST = ["-n", str((os.cpu_count() or 1) + 2), "-m", "not slow"]
#: All cases and examples of the everyday tests, then the slow ones without parallel workers: some measure time.
_ALL = {"tests": [*_FAST, "--full"], "slow tests": ["-m", "slow", "--full"]}
_NO_TESTS = 5  # pytest's exit status if no test is selected
#: Tests start some hundred processes. Without bytecode each one would compile the same modules again.
_ENVIRON = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def test(
    context: typer.Context,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Also run the slow tests.")] = False,
) -> None:
    """Run lint, format, import contracts, documentation, types and tests. Further arguments go to pytest."""
    if not (_ROOT / "tests").is_dir():
        raise SettingInvalid(
            "the tests need a clone of the repository", where="zoning test", do="clone it and run `./zoning test` there"
        )
    failed = [name for name, command in _QUICK.items() if _run(name, command)]
    with _start(["-m", "mypy"]) as types:  # in parallel with the tests: it takes a minute without a cache
        rounds = _ALL if everything else {"tests": _FAST}
        try:
            ended = {name: _run(name, ["-m", "pytest", *words, *context.args]) for name, words in rounds.items()}
        except KeyboardInterrupt:
            types.kill()
            raise
        failed += [name for name, status in ended.items() if status not in {0, _NO_TESTS}]
        failed += ["tests"] if {*ended.values()} == {_NO_TESTS} else []
        failed += ["types"] if _finish("types", types) else []
    if failed:
        line(f"zoning: failed: {', '.join(failed)}")
        raise typer.Exit(1)


def _run(name: str, arguments: list[str]) -> int:
    """Run Python with these arguments to its end; return the exit status."""
    started = time.monotonic()
    with subprocess.Popen([sys.executable, *arguments], cwd=_ROOT, env=_ENVIRON) as process:
        try:
            status = process.wait()
        except KeyboardInterrupt:  # pytest stops its database and its child processes
            process.send_signal(signal.SIGINT)
            process.wait(_PYTEST_ENDS_S)
            raise
    _report(name, status, f" in {time.monotonic() - started:.1f} s")
    return status


def _start(arguments: list[str]) -> "subprocess.Popen[str]":
    """Start Python with these arguments, and capture its output."""
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, *arguments], cwd=_ROOT, stdout=pipe, stderr=subprocess.STDOUT, text=True)


def _finish(name: str, process: "subprocess.Popen[str]") -> int:
    """Wait for a process, print its output, and return its exit status."""
    text, _ = process.communicate()
    line(text.rstrip())
    _report(name, process.returncode)
    return process.returncode


def _report(name: str, status: int, took: str = "") -> None:
    outcome = {0: "passed", _NO_TESTS: "had nothing to do"}.get(status, "FAILED")
    line(f"zoning test: {name} {outcome}{took}")
