"""The commands that start other programs or serve until they are ended, at five moments, by SIGINT and SIGTERM."""

import itertools
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import psycopg
import pytest

from tests.conftest import rows
from tests.integration.signals.command import judged
from tests.integration.signals.conftest import Place
from tests.integration.signals.moments import Moment, file, locked_file, scraped, silent_database, start, table, text
from tests.integration.signals.test_every_command import PROMISED_S, completes, stopped
from tests.support.cluster_fixture import REPO
from zoning_assets.simulation.county.county import ID

_SCHEMA = table("zoning.schema_version")
COMMANDS: dict[str, tuple[list[str], Sequence[Moment]]] = {
    "demo": (
        ["demo", "--parcels", "800"],
        [start, silent_database, text("Harvest 1"), table("zoning.parcel"), table("zoning.change")],
    ),
    "metrics": (
        ["metrics", "--port", "9571"],
        [start, silent_database, _SCHEMA, text("/metrics"), scraped("zoning.batch")],
    ),
    "up": (
        ["up", "--port", "3957"],
        [
            *(start, _SCHEMA, file("dagster/code-server.log"), file("dagster/dagster-webserver.log")),
            *(text("Prometheus"), scraped("zoning.batch")),
        ],
    ),
}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", COMMANDS)
def test_one_signal_ends_a_long_command(place: Place, name: str) -> None:
    """Status 130 or 143, one line, no process left, within ten seconds; what serves is there again the next time."""
    words, moments = COMMANDS[name]
    seconds = []
    for moment, number in itertools.product(moments, (signal.SIGINT, signal.SIGTERM)):
        ended = stopped(place, words, moment, number, group=number == signal.SIGINT)
        judged(ended, number, as_json=False)
        seconds.append(ended.seconds)
    print(f"\n{name}: {len(seconds)} signals, {max(seconds):.1f} s at most")  # noqa: T201 - figures, by `pytest -s`
    assert max(seconds) < PROMISED_S
    if name == "demo":
        completes(place, words)
        assert rows(place.database, "SELECT count(*) > 500 FROM zoning.parcel") == [(True,)]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_first_start_of_a_private_database_is_broken_off(tmp_path: Path) -> None:
    """At any moment of it; the next start has a whole database, and a signal to a later command does not touch it."""
    home = tmp_path / "home"
    environ = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "ZONING_HOME": str(home)}
    place = Place(None, environ, "", tmp_path / "run")  # type: ignore[arg-type] # there is no portal
    try:
        for moment, number in itertools.product((start, locked_file("database.lock")), (signal.SIGINT, signal.SIGTERM)):
            judged(stopped(place, ["db", "up", "--json"], moment, number, group=True), number, as_json=True)
        url = json.loads(completes(place, ["db", "up", "--json"]))["url"]
        judged(stopped(place, ["status", "--json"], start, signal.SIGTERM, group=True), signal.SIGTERM, as_json=True)
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT 1").fetchone() == (1,)
    finally:
        completes(place, ["db", "down"])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_pipe_that_nobody_reads_does_not_keep_a_command(place: Place) -> None:
    """`zoning changes --json | less`, left open: what is written already is not followed by another document."""
    with psycopg.connect(place.database) as connection:
        connection.execute(
            "INSERT INTO zoning.release (jurisdiction, parcels_from, parcels_to, zoning_from, zoning_to, rules,"
            " drift_m, moved, tolerance_m, alarms, counts, judged)"
            " VALUES (%s, 0, 1, 0, 1, '', 0, 0, 0, '{}', '{}', now())",
            [ID],
        )
        connection.execute(
            "INSERT INTO zoning.change SELECT n::text, %s, 'rezoned', 'event', 'base', '{a}', 'A', 'B', 1, 1, 1, NULL,"
            " now(), '{}', NULL, (SELECT max(id) FROM zoning.release) FROM generate_series(1, 900) n",
            [ID],
        )
    command = [sys.executable, "-P", "-m", "zoning_assets.cli", "changes", "--json"]
    for number in (signal.SIGINT, signal.SIGTERM):
        with subprocess.Popen(command, env=place.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            first = process.stdout.read(1)
            process.send_signal(number)
            assert process.wait(60) == 128 + number
            out, err = (first + process.stdout.read()).decode(), process.stderr.read().decode()
        if out.endswith("}\n"):  # the document was ended, and no other one follows it
            assert json.loads(out)["exit_status"] == 128 + number
        else:
            assert "exit_status" not in out
        assert err == "zoning: stopped; run the same command again to continue\n"


@pytest.mark.slow
def test_a_signal_during_the_start_from_a_clone_is_answered(place: Place) -> None:
    """`./zoning` hands a signal on to the program that it becomes."""
    if not (REPO / ".zoning" / "venv" / "zoning-stamp.json").exists():
        pytest.skip("the clone was not set up by `./zoning`")
    for number in (signal.SIGINT, signal.SIGTERM):
        process = subprocess.Popen(
            [sys.executable, str(REPO / "zoning"), "status", "--json"],
            env=place.environ,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        while b"zoning_assets.cli" not in Path(f"/proc/{process.pid}/cmdline").read_bytes():
            assert process.poll() is None
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 128 + number, err
        assert json.loads(out)["exit_status"] == 128 + number
        assert err.decode() == "zoning: stopped; run the same command again to continue\n"
