"""Each command that waits or works, at five moments, by SIGINT and SIGTERM; then the same command again completes."""

import itertools
import json
import signal
from collections.abc import Sequence

import pytest

from tests.conftest import rows
from tests.integration.signals.command import Ended, judged, started
from tests.integration.signals.conftest import Place
from tests.integration.signals.moments import (
    AMENDMENT,
    Moment,
    paused,
    portal,
    silent_database,
    start,
    table,
    unfinished_file,
)
from zoning_assets.simulation.county.county import ID

#: One signal ends a command within this, seconds: the promise itself, looked at in the slow run only.
PROMISED_S = 10.0
_SCHEMA = table("zoning.schema_version")

#: Words, the moments, and whether the county is published before.
COMMANDS: dict[str, tuple[list[str], Sequence[Moment], bool]] = {
    "sync": (["sync", ID], [start, portal(0), portal(5), table("zoning.parcel"), paused], False),
    "replay": (["replay", ID], [start, silent_database, table("zoning.fix"), table("zoning.batch"), paused], True),
    "probe": (["probe", ID], [start, portal(0), portal(1), portal(2), table("zoning.host_budget")], False),
    "onboard": (["onboard", "PORTAL"], [start, portal(0), portal(2), portal(4), portal(6)], False),
    "doctor": (["doctor", ID], [start, portal(0), portal(1), portal(2), portal(3)], False),
    "publish-amendment": (
        ["publish-amendment", "FILE"],
        [start, silent_database, _SCHEMA, table("zoning.queue"), unfinished_file],
        False,
    ),
    "verify": (
        ["verify"],
        [start, silent_database, _SCHEMA, table("zoning.audit"), table("zoning.parcel")],
        True,
    ),
    "rollback": (
        ["rollback", ID, "--to", "2020-01-01T00:00Z", "--reason", "wrong"],
        [start, silent_database, _SCHEMA, table("zoning.batch"), table("zoning.parcel")],
        True,
    ),
    "status": (["status"], [start, silent_database, _SCHEMA, table("zoning.failure"), table("zoning.queue")], True),
    "changes": (["changes"], [start, silent_database, _SCHEMA, table("zoning.change"), table("zoning.parcel")], True),
    "retry": (
        ["retry", ID],
        [start, silent_database, _SCHEMA, table("zoning.failure"), table("zoning.failure", "SHARE")],
        False,
    ),
}


def stopped(place: Place, words: list[str], moment: Moment, number: int, *, group: bool) -> Ended:
    folder = place.folder / f"{moment.__qualname__}-{number}".replace("<locals>.", "")
    with moment(place) as happened, started(words, place.environ, folder) as command:
        command.until(lambda: happened(command))
        return command.stopped(number, group=group)


def completes(place: Place, words: list[str], statuses: Sequence[int] = (0,)) -> str:
    with started(words, place.environ, place.folder / "again") as command:
        assert command.process.wait(250) in statuses, command.err.read_text()
        return command.out.read_text()


def _words(place: Place, words: list[str]) -> list[str]:
    layer = f"{place.gate.address}/arcgis/rest/services/County/FeatureServer/0"
    amendment = place.folder.with_name("amendment.json")
    amendment.write_text(AMENDMENT)
    given = {"PORTAL": layer, "FILE": str(amendment)}
    return [given.get(word, word) for word in words]


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", COMMANDS)
def test_one_signal_ends_it_and_the_same_command_completes(place: Place, name: str) -> None:
    """Status 130 or 143, one line, the document with --json, no process left, within ten seconds."""
    words, moments, published = COMMANDS[name]
    if published:
        completes(place, ["sync", ID])
    words = _words(place, words)
    seconds = []
    for moment, number in itertools.product(moments, (signal.SIGINT, signal.SIGTERM)):
        ended = stopped(place, [*words, "--json"], moment, number, group=number == signal.SIGINT)
        judged(ended, number, as_json=True)
        seconds.append(ended.seconds)
    print(f"\n{name}: {len(seconds)} signals, {max(seconds):.1f} s at most")  # noqa: T201 - figures, by `pytest -s`
    assert max(seconds) < PROMISED_S
    out = completes(place, [*words, "--json"], (0, 1) if name in ("status", "retry", "doctor") else (0,))
    assert "exit_status" not in json.loads(out) or name == "retry"
    if name == "sync":
        assert rows(place.database, "SELECT count(*) > 1000 FROM zoning.parcel") == [(True,)]
