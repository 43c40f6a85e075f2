"""`zoning review`: the decision of the map, by a command."""

import getpass
import json

import pytest

from tests.api.conftest import fill
from tests.cli.conftest import Zoning
from tests.conftest import rows
from zoning_assets.storage.postgis.records import audit_records


@pytest.fixture
def waiting(database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The id of the change that waits, in a town."""
    fill(database)
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    ((found,),) = rows(database, "SELECT id FROM zoning.change WHERE state = 'review'")
    return str(found)


def test_a_dismissed_change_is_retracted_and_the_audit_has_the_name(
    zoning: Zoning, waiting: str, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    status, out, _ = zoning("review", waiting[:12], "dismiss", "--reason", "drawn again", "--json")
    assert (status, json.loads(out)["state"]) == (0, "retracted")
    audit = rows(database, "SELECT actor, action, reason, subject->>'change' FROM zoning.audit")
    assert audit == [(getpass.getuser(), "dismiss", "drawn again", waiting)]
    assert rows(database, "SELECT state FROM zoning.change WHERE id = %s", waiting) == [("retracted",)]
    status, _, err = zoning("review", waiting, "accept", "--reason", "no")
    assert status == 1
    assert "no such change waits" in err
    assert audit_records.broken_audit_rows(database) == []


@pytest.mark.parametrize("words", [["abc", "drop"], ["a/b", "accept"]])
def test_wrong_usage(zoning: Zoning, words: list[str]) -> None:
    status, _, err = zoning("review", *words, "--reason", "x")
    assert status == 2
    assert len(err.splitlines()) == 1
