"""Typical mistakes of a person: a misspelled name, a missing word. The message names the mistake and what to do."""

import re

import pytest

from tests.cli.conftest import Zoning


@pytest.fixture
def word(zoning: Zoning, database: str, monkeypatch: pytest.MonkeyPatch) -> Zoning:
    """`zoning WORDS`, with a database."""
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    return zoning


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("pause", "--reason", "x"), 2, "JURISDICTION, --host, --all: exactly one of the three is needed; give"),
        (("resume", "us-ma-cambridge", "--all"), 2, "JURISDICTION, --host, --all: exactly one of the three"),
        (("rollback", "us-ma-cambridge", "--reason", "x"), 2, "--to, --batch: exactly one of the two is needed"),
        (("publish-amendment", "nofile"), 2, "nofile: cannot be read: there is no such file or folder; give a file"),
        (("export", "us-ma-cambridge", "--layer", "parcel"), 2, "Invalid value for '--layer': 'parcel' is not one of"),
        (("onboard", "nonsense"), 2, "nonsense: it is neither an address nor a file; give an address that begins"),
    ],
)
def test_the_mistake_is_named(zoning: Zoning, words: tuple[str, ...], status: int, says: str) -> None:
    """On one line, without the name of the program twice."""
    ended, out, err = zoning(*words)
    assert (ended, out) == (status, "")
    assert re.fullmatch(rf"zoning: {re.escape(says)}[^\n]*\n", err)


def test_a_pause_of_a_misspelled_name_warns(word: Zoning) -> None:
    """The pause is stored, because a file may be on another machine; but a person must see that nothing has it."""
    status, _, err = word("pause", "us-ma-cambrige", "--reason", "fire")
    assert status == 0
    assert "warning: JURISDICTION 'us-ma-cambrige': it was never published, and no file describes it" in err
    assert "us-ma-cambridge" in err
    assert "warning" not in word("pause", "us-ma-cambridge", "--reason", "fire")[2]


def test_a_pause_of_an_unknown_host_warns(word: Zoning) -> None:
    status, _, err = word("pause", "--host", "https://gis.example.org", "--reason", "fire")
    assert status == 0
    assert "warning: --host 'https://gis.example.org': no request was ever sent to this host" in err


def test_watching_a_misspelled_parcel_warns(word: Zoning) -> None:
    """It would never have a change."""
    status, _, err = word("watch", "us-ma-cambridge", "82-17")
    assert status == 0
    assert err == "zoning: warning: us-ma-cambridge '82-17': no parcel has or had this id; check its spelling\n"
