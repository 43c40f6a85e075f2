"""The sensor that delivers: each tick sends what is new, and a failure is a warning that the next tick repeats."""

import os
from pathlib import Path

import dagster as dg
import pytest

from tests.subscriptions.log_rows import change, subscribe, tell
from tests.subscriptions.receiver import receiving
from tests.support.asked_questions import tick
from zoning_assets.defs import build
from zoning_assets.settings import Settings
from zoning_assets.storage.postgis.records import subscription_records


def test_a_tick_delivers_what_is_new(database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZONING_HOME", str(tmp_path))
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    definitions = build.definitions(Settings.of(os.environ))
    with dg.instance_for_test() as instance, receiving() as receiver:
        subscribe(database, "webhook", receiver.url)
        assert tick(definitions, instance, "changes_delivered").skip_message == "nothing new for a subscription"
        tell(database, change("a", "1"), change("b", "2"))
        assert tick(definitions, instance, "changes_delivered").skip_message == "it: 2 delivered"
        assert [name for name, _ in receiver.changes] == ["a", "b"]
        subscription_records.remove(database, "it", "ann")
        subscribe(database, "webhook", "http://127.0.0.1:1", "gone")
        tell(database, change("c", "1"))
        tick(definitions, instance, "changes_delivered")
        (seen,) = subscription_records.subscriptions(database)
        assert seen.attempts >= 1
        assert "refuses the connection" in (seen.error or "")
