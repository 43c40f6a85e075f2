"""`zoning test`: everything that must hold before a change lands."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from zoning_assets.cli.show import line
from zoning_assets.errors import SettingInvalid

_ROOT = Path(__file__).parents[2]
#: An interrupted pytest has so long to end its database, seconds.
_PYTEST_ENDS_S = 7.0

#: name -> the command, as a module of this Python. Order: what fails soonest, first.
_CHECKS = {
    "lint": ["ruff", "check", "."],
    "format": ["ruff", "format", "--check", "."],
    "contracts": ["importlinter.cli"],
    "types": ["mypy"],
}
#: One worker more than cores: many tests wait for a process that they started. Tests of one `xdist_group` share one.
_PARALLEL = ["-n", str((os.cpu_count() or 1) + 1), "--dist", "loadgroup"]


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
    failed = [name for name, command in _CHECKS.items() if not _run(name, command)]
    chosen = [] if everything else ["-m", "not slow"]
    if not _run("tests", ["pytest", *_PARALLEL, *chosen, *context.args]):
        failed.append("tests")
    if failed:
        line(f"zoning: failed: {', '.join(failed)}")
        raise typer.Exit(1)


def _run(name: str, command: list[str]) -> bool:
    started = time.monotonic()
    entry = ["-c", "from importlinter.cli import lint_imports_command as run; run()"]
    arguments = entry if name == "contracts" else ["-m", *command]
    with subprocess.Popen([sys.executable, *arguments], cwd=_ROOT) as process:
        try:
            status = process.wait()
        except KeyboardInterrupt:  # pytest ends its database and its other programs itself
            process.send_signal(signal.SIGINT)
            process.wait(_PYTEST_ENDS_S)
            raise
    line(f"zoning test: {name} {'passed' if status == 0 else 'FAILED'} in {time.monotonic() - started:.1f} s")
    return status == 0
