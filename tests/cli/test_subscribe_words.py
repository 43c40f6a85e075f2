"""`zoning subscribe`: what a person adds, sees, pauses, delivers and replays; and that no secret is shown."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from tests.cli.conftest import Zoning
from tests.conftest import rows
from tests.subscriptions.log_rows import KEY, TOWN, change, tell
from tests.subscriptions.receiver import Receiver, accept, receiving

HIDDEN = "hidden-word"


@pytest.fixture
def word(zoning: Zoning, database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Zoning:
    """`zoning WORDS`, with a database, a jurisdiction, and a file with the signing key of the receivers."""
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    insert = (
        "INSERT INTO zoning.batch (jurisdiction, feed, harvest, rules, started) VALUES (%s, 'parcels', 'h', 'r', now())"
    )
    rows(database, f"{insert} RETURNING 1", TOWN)
    (tmp_path / "key").write_text(f"{KEY}\n")
    return zoning


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as started:
        yield started


def said(word: Zoning, *words: str) -> Any:
    status, out, err = word("subscribe", *words, "--json")
    assert status == 0, err
    return json.loads(out)


def test_from_add_to_remove(word: Zoning, receiver: Receiver, database: str, tmp_path: Path) -> None:
    options = ["--allow-network", "127.0.0.0/8", "--key-file", str(tmp_path / "key"), "--jurisdiction", TOWN]
    more = ["--code", "R-*", "--kind", "rezoned", "--kind", "split", "--bbox=-72,41,-70,43", "--min-area", "10"]
    added = said(word, "add", "hook", "webhook", receiver.url, *options, *more)["subscription"]
    assert (added["kinds"], added["code_pattern"], added["area"]["type"]) == (["rezoned", "split"], "R-%", "Polygon")
    tell(database, change("a", "1"), change("b", "2", kind="recoded"))

    async def refuse(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        return web.Response(status=500)

    receiver.answer = refuse
    status, _, err = word("subscribe", "deliver")
    assert status == 1
    assert "hook: http://127.0.0.1" in err
    assert "it responded 500" in err
    rows(database, "UPDATE zoning.subscription SET attempts = 11 RETURNING 1")
    assert json.loads(word("subscribe", "deliver", "hook", "--json")[1])["deliveries"][0]["dead"] == 1
    (letter,) = said(word, "dead-letters", "hook")["dead_letters"]
    assert letter["body"]["jurisdiction"] == TOWN
    assert "it responded 500" in word("subscribe", "dead-letters", "hook")[1]
    (queue,) = [each for each in json.loads(word("status", "--json")[1])["queues"] if each["name"] == "deliveries"]
    assert queue["dead"] == 1
    (message,) = json.loads(word("queue", "peek", "--queue", "deliveries", "--dead", "--json")[1])["messages"]
    assert message["body"]["subscription"] == "hook"
    assert said(word, "replay", "hook")["replayed"] == 1
    receiver.answer = accept
    said(word, "pause", "hook")
    assert said(word, "deliver")["deliveries"][0]["skipped"] == "it is paused"
    said(word, "resume", "hook")
    assert said(word, "deliver")["deliveries"][0]["delivered"] == 1
    assert receiver.changes == [("a", "changed")]
    (listed,) = said(word, "list")["subscriptions"]
    assert (listed["behind"], listed["dead"], listed["error"]) == (0, 0, None)
    assert said(word, "remove", "hook") == {"removed": "hook"}
    assert said(word, "list") == {"subscriptions": []}
    actions = [action for (action,) in rows(database, "SELECT action FROM zoning.audit ORDER BY id")]
    assert actions == ["subscribe", "pause subscription", "resume subscription", "unsubscribe"]


def test_a_dead_letter_can_be_replayed_as_any_message(
    word: Zoning, receiver: Receiver, database: str, tmp_path: Path
) -> None:
    options = ["--allow-network", "127.0.0.0/8", "--key-file", str(tmp_path / "key")]
    said(word, "add", "hook", "webhook", receiver.url, *options)
    tell(database, change("a", "1"), change("b", "1"))

    async def refuse(_: web.Request, __: dict[str, Any]) -> web.StreamResponse:
        return web.Response(status=500)

    receiver.answer = refuse
    rows(database, "UPDATE zoning.subscription SET attempts = 11 RETURNING 1")
    word("subscribe", "deliver")
    assert json.loads(word("queue", "replay", "--queue", "deliveries", "--json")[1])["replayed"] == 2
    receiver.answer = accept
    assert said(word, "deliver")["deliveries"][0]["delivered"] == 2
    assert [name for name, _ in receiver.changes] == ["a", "b"]
    assert json.loads(word("queue", "schema", "--queue", "deliveries")[1])["$defs"]


def test_secrets_are_shown_once_or_never(word: Zoning, database: str, tmp_path: Path) -> None:
    """The key at `add`; a password in an address never: not in the list, the audit, nor errors."""
    status, out, err = word("subscribe", "add", "hook", "webhook", f"https://ann:{HIDDEN}@example.org/x?token={HIDDEN}")
    assert status == 0
    (key,) = re.findall(r"whsec_[\w+/=]+", out.replace("\n", ""))
    target = f"postgresql://ann:{HIDDEN}@127.0.0.1:1/gis"
    word("subscribe", "add", "mirror", "postgis", target)
    shown = [out, err]
    for words in (["list"], ["list", "--json"], ["deliver"], ["deliver", "--json"], ["pause", "hook"], ["add", "hook"]):
        shown += map(str, word("subscribe", *words))
    shown += [
        str(rows(database, "SELECT * FROM zoning.subscription")),
        str(rows(database, "SELECT * FROM zoning.audit")),
    ]
    assert HIDDEN not in "".join(shown)
    assert key not in "".join(shown[2:])
    assert rows(database, "SELECT target FROM zoning.subscription_secret ORDER BY 1 DESC") == [
        (target,), (f"https://ann:{HIDDEN}@example.org/x?token={HIDDEN}",),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["add", "x", "fax", "y"], "SINK: 'fax' is not a kind of sink"),
        (["add", "X y", "webhook", "https://example.org"], "'X y' is not a name"),
        (["add", "x", "webhook", "ftp://example.org"], "it is no address of a webhook"),
        (["add", "x", "webhook", "https://example.org\r\nX: y"], "control characters"),
        (["add", "x", "webhook", "http://[bad"], "it is no address of a webhook"),
        (["add", "x", "webhook", "http://169.254.169.254/latest"], "169.254.169.254 is not a public address"),
        (["add", "x", "webhook", "http://[::1]:80", "--allow-network", "10.0.0.0/8"], "::1 is not a public address"),
        (["add", "x", "email", "a@b.org, c@d.org"], "it is not one e-mail address"),
        (["add", "x", "delta", "ftp://example.org"], "its scheme is not supported"),
        (["add", "x", "postgis", "mysql://h/d"], "it is no address of a postgis"),
        (["add", "x", "postgis", "postgresql://h/d", "--table", "a;b"], "cannot be used as a table"),
        (["add", "x", "postgis", "postgresql://h/d", "--kind", "split"], "a table has parcels, not changes"),
        (["add", "x", "atom", "f", "--kind", "sold"], "'sold' is not a kind of change"),
        (["add", "x", "atom", "f", "--bbox", "1,2,3"], "is not a bounding box"),
        (["add", "x", "atom", "f", "--bbox", "nan,2,3,4"], "is not a bounding box"),
        (["add", "x", "atom", "f", "--parcel", "1"], "give --jurisdiction too"),
        (["add", "x", "atom", "f", "--table", "t"], "only the sink postgis has a table"),
        (["add", "x", "atom", "f", "--area", "no-such-file"], "no-such-file: cannot be read"),
        (["add", "x", "webhook", "https://example.org", "--allow-network", "10.0.0.1/8"], "--allow-network"),
        (["add", "x", "atom", "f", "--jurisdiction", "us-xx-none"], "--jurisdiction 'us-xx-none'"),
    ],
)
def test_a_wrong_word_is_one_line_and_nothing_is_stored(
    word: Zoning, database: str, words: list[str], says: str
) -> None:
    status, out, err = word("subscribe", *words)
    assert (status, out) == (2, "")
    assert re.fullmatch(r"zoning: [^\n]+\n", err)
    assert says in err
    assert rows(database, "SELECT count(*) FROM zoning.subscription") == [(0,)]


@pytest.mark.parametrize(
    "words", [["remove", "x"], ["pause", "x"], ["replay", "x"], ["dead-letters", "x"], ["deliver", "x"]]
)
def test_an_unknown_name_is_status_1(word: Zoning, words: list[str]) -> None:
    status, _, err = word("subscribe", *words)
    assert (status, err) == (1, "zoning: 'x': there is no such subscription; look at `zoning subscribe list`\n")


def test_a_list_shows_each_with_its_state(word: Zoning) -> None:
    """Subscriptions of several kinds in one table."""
    assert word("subscribe", "list")[1:] == ("", "there is no subscription; `zoning subscribe add` makes one\n")
    said(word, "add", "feeds", "atom", "folder")
    said(word, "add", "mails", "email", "ann@example.org", "--jurisdiction", TOWN, "--parcel", "1", "--daily")
    said(word, "pause", "mails")
    _, out, _ = word("subscribe", "list")
    feeds, mails = (line for line in out.splitlines() if line.strip().startswith(("feeds", "mails")))
    assert feeds.split()[:2] == ["feeds", "atom"]
    assert "well" in feeds
    assert re.search(rf"mails +email +ann@example.org .*paused +jurisdiction {TOWN}; parcels 1; daily True", mails)


def test_a_name_is_used_once(word: Zoning) -> None:
    said(word, "add", "x", "atom", "folder")
    status, _, err = word("subscribe", "add", "x", "atom", "folder")
    assert (status, "a subscription with this name exists" in err) == (2, True)


@pytest.mark.parametrize(
    ("text", "is_area"),
    [
        ('{"type": "Polygon", "coordinates": [[[0,0],[1,0],[1,1],[0,0]]]}', True),
        ('{"type": "FeatureCollection", "features": [{"type": "Feature", "geometry": '
         '{"type": "Polygon", "coordinates": [[[0,0],[1,1],[1,0],[0,1],[0,0]]]}}]}', True),
        ('{"type": "Point", "coordinates": [0, 0]}', False),
        ('{"type": "Polygon", "coordinates": [[[0,0],[1000000,0],[1,1],[0,0]]]}', False),
        ("{}", False), ("[", False), ("[]", False), ('{"type": "Polygon"}', False), ('{"type": "Feature"}', False),
        (f"{'[' * 100_000}", False),
    ],
)  # fmt: skip
def test_an_area_is_polygons_on_the_earth(word: Zoning, tmp_path: Path, text: str, is_area: bool) -> None:
    (tmp_path / "area.json").write_text(text)
    status, _, err = word("subscribe", "add", "x", "atom", "folder", "--area", str(tmp_path / "area.json"))
    assert status == (0 if is_area else 2), err
