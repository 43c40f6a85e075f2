"""`zoning serve` as a program: what it prints, what it refuses, how it ends."""

import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Zoning
from tests.support.waiting import until

TOKEN = "review-0123456789abcdef"  # noqa: S105


@contextmanager
def started(tmp_path: Path, url: str, *words: str, **more: str) -> Iterator[tuple[subprocess.Popen[str], Any]]:
    """The program, and the document that it prints."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("ZONING_", "DAGSTER_"))}
    own = {"ZONING_HOME": str(tmp_path / "home"), "ZONING_JURISDICTIONS": str(tmp_path), "ZONING_DATABASE_URL": url}
    command = [sys.executable, "-m", "zoning_assets.cli", "serve", "--json", "--port", "0", *words]
    log = (tmp_path / "log").open("w+")
    with (
        log,
        subprocess.Popen(
            command, env={**environ, **own, **more}, stdout=subprocess.PIPE, stderr=log, text=True
        ) as process,
    ):
        try:
            assert process.stdout is not None
            text = "".join(iter(process.stdout.readline, "}\n")) + "}"
            yield process, json.loads(text)
        finally:
            process.kill()


def fetch(address: str) -> Any:
    """The JSON document of an address."""
    with urllib.request.urlopen(address, timeout=60) as answer:  # noqa: S310
        return json.load(answer)


def answers(address: str) -> bool:
    """Whether the server answers."""
    try:
        return bool(fetch(address))
    except OSError:
        return False


def test_it_prints_its_addresses_answers_and_ends_by_a_signal(tmp_path: Path, database: str) -> None:
    with started(tmp_path, database, "--dagster", "http://127.0.0.1:3000") as (process, document):
        assert set(document) == {"map", "api", "features", "review_token"}
        until(lambda: answers(document["features"]), "an answer", most_s=60)
        assert fetch(document["map"] + "api/settings")["dagster"] == "http://127.0.0.1:3000"
        assert len(document["review_token"]) >= 24
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130


def test_a_token_that_was_set_is_not_printed(tmp_path: Path, database: str) -> None:
    with started(tmp_path, database, ZONING_API_TOKENS=f"review:{TOKEN}") as (_, document):
        until(lambda: answers(document["features"]), "an answer", most_s=60)
        assert document["review_token"] is None
    assert TOKEN not in (tmp_path / "log").read_text()


@pytest.mark.parametrize(
    ("words", "environ", "expected"),
    [
        (["--host", "0.0.0.0"], {}, "needs tokens"),  # noqa: S104 - refused
        ([], {"ZONING_API_TOKENS": "read:short"}, "a token has other characters"),
        ([], {"ZONING_API_TOKENS": "/no/such/file"}, "cannot be read"),
        ([], {"ZONING_MAP_TILES": "javascript:alert(1)"}, "not an address of tiles"),
        ([], {"ZONING_MAP_TILES": "https://[x/{z}"}, "not an address of tiles"),
        ([], {"ZONING_MAP_TILES": "https://a.example; script-src */{z}"}, "not an address of tiles"),
        (["--port", "70000"], {}, "65535"),
    ],
)  # fmt: skip
def test_a_wrong_setting_is_one_line_and_status_2(
    zoning: Zoning,
    monkeypatch: pytest.MonkeyPatch,
    database: str,
    words: list[str],
    environ: dict[str, str],
    expected: str,
) -> None:
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    status, out, err = zoning("serve", *words)
    assert (status, out) == (2, "")
    assert expected in err
    assert len(err.splitlines()) == 1
