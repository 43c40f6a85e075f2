"""The words about messages: published, looked at, sent again, deleted."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Zoning
from tests.conftest import rows


def waiting(database: str) -> int:
    return int(rows(database, "SELECT count(*) FROM zoning.queue WHERE queue = 'amendments'")[0][0])


@pytest.fixture
def word(zoning: Zoning, database: str, monkeypatch: pytest.MonkeyPatch) -> Zoning:
    """`zoning WORDS`, with a database."""
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    return zoning


TOLD = {"jurisdiction": "us-ma-cambridge", "case_numbers": ["Z-7"]}


def test_a_pipeline_publishes_and_a_person_looks(word: Zoning, database: str, tmp_path: Path) -> None:
    """Lines of JSON in; peek, status; dead-lettered, replayed, purged with a reason that the audit keeps."""
    file = tmp_path / "told.jsonl"
    file.write_text(f"{json.dumps(TOLD)}\n\n{json.dumps({**TOLD, 'place': 'Main Street'})}\n")
    status, out, _ = word("publish-amendment", str(file), "--json")
    assert (status, json.loads(out)["sent"]) == (0, 2)
    _, out, _ = word("queue", "peek", "--json", "--limit", "1")
    (message,) = json.loads(out)["messages"]
    assert (message["body"]["case_numbers"], message["tries"]) == (["Z-7"], 0)
    rows(
        database, "UPDATE zoning.queue SET queue = 'amendments.dead', why = 'w', tries = 5 WHERE number = 2 RETURNING 1"
    )
    depth = json.loads(word("status", "--json")[1])["queues"][0]
    assert (depth["name"], depth["ready"], depth["leased"], depth["dead"]) == ("amendments", 1, 0, 1)
    assert 0 <= depth["oldest_s"] < 60
    assert "w" in word("queue", "peek", "--dead")[1]
    assert json.loads(word("queue", "replay", "--json")[1])["replayed"] == 1
    assert json.loads(word("queue", "purge", "--json")[1]) == {
        "queue": "amendments", "dead": False, "found": 2, "purged": 0,
    }  # fmt: skip
    status, _, err = word("queue", "purge", "--yes")
    assert (status, "--reason: no reason is given" in err) == (2, True)
    assert json.loads(word("queue", "purge", "--yes", "--reason", "a test", "--json")[1])["purged"] == 2
    assert waiting(database) == 0
    assert rows(database, "SELECT action, reason, subject->>'queue' FROM zoning.audit") == [
        ("purge", "a test", "amendments")
    ]


def test_one_document_may_have_many_lines(word: Zoning, database: str, tmp_path: Path) -> None:
    (tmp_path / "told.json").write_text(json.dumps(TOLD, indent=2))
    assert word("publish-amendment", str(tmp_path / "told.json"))[0] == 0
    assert waiting(database) == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (f'{json.dumps(TOLD)}\n{{"jurisdiction": "us-xx-a"}}\n', "line 2: it identifies no amendment"),
        (f"{json.dumps(TOLD)}\nnonsense\n", "line 2: "),
        ('{"jurisdiction": "us-xx-a", "status": "passed"}', "line 1: Invalid enum value 'passed'"),
        ("\xff", "line 1: "),
    ],
)
def test_a_file_with_a_fault_is_not_sent_at_all(
    word: Zoning, database: str, tmp_path: Path, text: str, says: str
) -> None:
    """Status 2, one line: which line, why, and what to do."""
    (tmp_path / "told").write_text(text, encoding="latin-1")
    status, out, err = word("publish-amendment", str(tmp_path / "told"))
    assert (status, out) == (2, "")
    assert says in err or "cannot be read" in err
    assert err.count("\n") == 1
    assert waiting(database) == 0


def test_the_words_need_no_broker_to_be_understood(zoning: Zoning, monkeypatch: pytest.MonkeyPatch) -> None:
    """The schema is printed without a database; a queue that is none, and one that is gone, are said in one line."""
    assert "AmendmentMessage" in json.loads(zoning("queue", "schema")[1])["$defs"]
    assert zoning("queue", "peek", "--queue", "x")[2].endswith("choose one of: amendments, tiles, deliveries\n")
    monkeypatch.setenv("ZONING_QUEUE_URL", "redis://127.0.0.1:1")
    status, _, err = zoning("queue", "peek")
    assert (status, err.count("\n")) == (1, 1)
    assert "queue at 127.0.0.1:1" in err
