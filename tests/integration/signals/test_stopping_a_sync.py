"""One signal ends a command soon, and the same command again completes: the subset of the everyday run."""

import signal

import pytest

from tests.conftest import rows
from tests.integration.signals.command import judged, started, table_locked
from tests.integration.signals.conftest import Place
from zoning_assets.simulation.county.county import ID
from zoning_assets.storage.postgis.database import as_role
from zoning_assets.storage.postgis.records import failure_records, hold_records


def completes(place: Place) -> None:
    """The same command again, undisturbed."""
    place.gate.close_after(None)
    with started(["sync", ID, "--json"], place.environ, place.folder / "again") as command:
        assert command.process.wait(200) == 0, command.err.read_text()
    assert rows(place.database, "SELECT count(*) > 1000 FROM zoning.parcel") == [(True,)]


@pytest.mark.slow
@pytest.mark.parametrize(("number", "group"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_a_sync_that_waits_for_a_page_ends(place: Place, number: int, group: bool) -> None:
    """A portal that never answers does not keep a command: Ctrl-C in a terminal, or `kill`, ends it and its workers."""
    place.gate.close_after(6)
    with started(["sync", ID, "--json"], place.environ, place.folder) as command:
        command.until(place.gate.held.is_set)
        judged(command.stopped(number, group=group), number, as_json=True)
    assert failure_records.unsolved(place.database) == [], "a person stopped it: nothing waits for a retry"
    completes(place)


def test_a_sync_under_a_pause_ends(place: Place) -> None:
    """A pause may last for days; SIGTERM does not wait for its end."""
    hold = hold_records.pause(place.database, jurisdiction=ID, host=None, reason="storm", actor="a test", until=None)
    with started(["sync", ID], place.environ, place.folder) as command:
        command.until(lambda: "storm" in command.err.read_text())
        judged(command.stopped(signal.SIGTERM, group=False), signal.SIGTERM, as_json=False)
    assert failure_records.unsolved(place.database) == []
    assert hold.jurisdiction == ID


@pytest.mark.slow
def test_a_statement_that_waits_is_broken_off(place: Place) -> None:
    """A publish that waits for the database ends too, and its session leaves no lock behind."""
    owner = as_role(place.database, None)
    words = ["sync", ID, "--feed", "parcels", "--json"]
    with table_locked(owner, "zoning.parcel") as waited_for, started(words, place.environ, place.folder) as command:
        command.until(waited_for)
        judged(command.stopped(signal.SIGINT, group=True), signal.SIGINT, as_json=True)
    completes(place)
