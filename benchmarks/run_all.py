"""Run the measurements of `zoning bench all`, one after the other. Each round is `zoning bench NAME --json`, a process
of its own, whose messages go to standard error as they come."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import machine, results
from benchmarks.measurements import Measurement
from benchmarks.processes import ROOT
from benchmarks.run_journal import Journal, Round

#: A measurement that takes longer is stopped, seconds.
MOST_S = 4 * 3600.0
#: How long a round waits for the load of the round before to fall, and how often it looks; seconds.
_CALM_MOST_S, _CALM_EVERY_S = 120.0, 5.0
_STOP_S = 15.0
Say = Callable[[str], None]


def about(asked: Mapping[str, Any], folder: Path, database: str) -> dict[str, Any]:
    """The first line of a journal. `asked`: scale, rounds, and names of measurements."""
    return {
        "began": _now(),
        "scale": asked["scale"],
        "asked": dict(asked),
        "machine": machine.machine(folder),
        "versions": machine.versions(database),
        "load_start": machine.load(),
    }


def measure(wanted: Mapping[str, Measurement], journal: Journal, scale: str, rounds: int, say: Say) -> None:
    """Run the rounds that the journal does not have yet. A failed round is recorded and does not stop the others.

    Args:
        wanted: the measurements.
        journal: receives each round.
        scale: QUICK or FULL.
        rounds: of each measurement; it may have fewer.
        say: receives progress messages.

    Raises:
        KeyboardInterrupt: finished rounds are in the journal.
    """
    for number, (name, each) in enumerate(wanted.items(), 1):
        most = min(rounds, each.most_rounds)
        for at in range(journal.read().done(name), most):
            title = f"{name} ({number} of {len(wanted)}), round {at + 1} of {most}"
            _wait_for_calm(title, say)
            say(f"{title}: {each.about}")
            done = _round(name, each.words(scale))
            journal.add(done)
            say(f"{title}: {done.seconds:,.0f} s{f'; {done.error}' if done.error else ''}")
            if not done.is_done:
                break
    journal.end()


def _wait_for_calm(title: str, say: Say) -> None:
    """Wait until the load of the last minute is below the number of cores, at most two minutes."""
    end = time.monotonic() + _CALM_MOST_S
    if machine.load() > machine.cores():
        say(f"{title}: waiting until the load of {machine.load():g} falls")
    while machine.load() > machine.cores() and time.monotonic() < end:
        time.sleep(_CALM_EVERY_S)


def _round(name: str, words: list[str]) -> Round:
    began, before, started = _now(), machine.load(), time.monotonic()
    document, error = _run([sys.executable, "-m", "zoning_assets.cli", "bench", *words, "--json"])
    command, seconds = f"zoning bench {' '.join(words)}", round(time.monotonic() - started, 1)
    return Round(name, command, began, seconds, before, machine.load(), machine.commit(), document, error)


def _run(command: list[str]) -> tuple[dict[str, Any], str | None]:
    """The JSON document of a command, and its error."""
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environ, cwd=ROOT, start_new_session=True) as process:
        try:
            body, _ = process.communicate(timeout=MOST_S)
        except subprocess.TimeoutExpired:
            _stop(process)
            return {}, f"it took longer than {MOST_S:,.0f} s"
        except BaseException:
            _stop(process)
            raise
    document = _parsed(body)
    error = document.get("error")
    if process.returncode and not error:
        error = f"it ended with exit status {process.returncode}; its messages are above"
    return document, error


def _parsed(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _stop(process: "subprocess.Popen[bytes]") -> None:
    """Let it stop cleanly, as after Ctrl-C; then kill it with what it started in its session."""
    process.send_signal(signal.SIGINT)
    try:
        process.wait(_STOP_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)


def write(found: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write the pages of the result. `folder`: docs/benchmarks of the clone."""
    folder.mkdir(parents=True, exist_ok=True)
    page, data = folder / "results.md", folder / "results.json"
    page.write_text(results.markdown(found), encoding="utf-8")
    data.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
    return [page, data]


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
