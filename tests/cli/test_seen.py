"""What a person sees: every table at 80 and 120 columns, what a sync ends with, and the change feed in all its forms.

One county, harvested by `zoning sync`, changed, and harvested again.
"""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from io import StringIO
from pathlib import Path

import pytest

from tests.cli.conftest import Zoning
from tests.cli.terminal import on_terminal
from tests.support.databases import continued, copied
from zoning_assets.cli import main
from zoning_assets.simulation.county.county import ID, County, county_toml
from zoning_assets.simulation.portal.portal_process import serving, switch_release

_LOTS = 400
Seen = Callable[..., list[str]]


class _Screen(StringIO):
    """A stdout that a person watches."""

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class Harvested:
    """A county that `zoning sync` harvested, and harvested again after it changed.

    Attributes:
        folder: with its home and its jurisdiction file.
        database: the name of its database.
        said: stdout and stderr of both commands.
    """

    folder: Path
    database: str
    said: list[tuple[str, str]]


def _sync(folder: Path, url: str) -> tuple[str, str]:
    """`zoning sync` as a process; its stdout and stderr."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("ZONING_", "DAGSTER_"))}
    environ |= {"ZONING_HOME": str(folder / "home"), "ZONING_JURISDICTIONS": str(folder / "jurisdictions")}
    command = [sys.executable, "-m", "zoning_assets.cli", "sync", ID]
    done = subprocess.run(
        command, env={**environ, "ZONING_DATABASE_URL": url}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


@pytest.fixture(scope="module")
def harvested(server: str, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harvested]:
    """The county's two releases, harvested once for all tests; the portal goes on."""
    folder = tmp_path_factory.mktemp("harvested")
    (folder / "jurisdictions").mkdir()
    with serving(_LOTS) as portal, copied(server, template) as (name, url):
        (folder / "jurisdictions" / f"{ID}.toml").write_text(county_toml(portal))
        said = [_sync(folder, url)]
        switch_release(portal, 2)
        said.append(_sync(folder, url))
        yield Harvested(folder, name, said)


@pytest.fixture
def county(
    zoning: Zoning, harvested: Harvested, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Harvested]:
    """A copy of its home and its database for one test."""
    for name in ("home", "jurisdictions"):
        shutil.copytree(harvested.folder / name, tmp_path / name, dirs_exist_ok=True)
    with continued(server, harvested.database) as url:
        monkeypatch.setenv("ZONING_DATABASE_URL", url)
        yield harvested


@pytest.fixture
def seen(monkeypatch: pytest.MonkeyPatch) -> Seen:
    """`zoning WORDS` on a terminal of a width: the lines of stdout."""

    def look(width: int, *words: str) -> list[str]:
        screen = _Screen()
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("NO_COLOR", "1")
        monkeypatch.setenv("TERM", "dumb")
        with monkeypatch.context() as patched:
            patched.setattr("sys.stdout", screen)
            patched.setattr("sys.argv", ["zoning", *words])
            with pytest.raises(SystemExit):
                main()
        return screen.getvalue().splitlines()

    return look


def _told(zoning: Zoning, *words: str) -> str:
    status, out, err = zoning(*words)
    assert status == 0, err
    return out


def test_a_sync_and_every_table_after_it(zoning: Zoning, seen: Seen, county: Harvested, tmp_path: Path) -> None:
    """A sync ends with what changed and what is held back, with commands that show it; then each command's tables fit
    80 and 120 columns, with no id cut, and a pipe gets them whole."""
    (out, err), (second, _) = county.said
    assert err.splitlines()[0] == "Starting ..."
    assert f"{ID} parcels: finding the tiles ..." in err.splitlines()
    assert f"{ID}: the first harvest: there is nothing to compare it with" in out.splitlines()
    lines = second.splitlines()
    truth = County.build(_LOTS).after_changes().truth
    assert truth
    assert any(re.search(rf"\b{len(truth.rezoned)} parcels? rezoned\b", line) for line in lines)
    assert re.search(r"^dissolved +\d+", second, re.MULTILINE)
    rejected = next(line for line in lines if line.endswith(" rejected"))
    assert lines[lines.index(rejected) + 1] == f"  zoning rejections {ID}"
    command = next(line for line in lines if line.startswith("  zoning changes ")).split()
    feed = json.loads(_told(zoning, *command[1:], "--json"))
    assert {each["parcel_ids"][0] for each in feed["changes"] if each["kind"] == "rezoned"} == set(truth.rezoned)

    groups = json.loads(_told(zoning, "rejections", ID, "--json"))["rejections"]
    assert rejected == f"{ID}: {sum(each['count'] for each in groups)} rows rejected"
    parcel = next(iter(truth.split))
    change = feed["changes"][0]["id"]
    _told(zoning, "watch", ID, parcel)
    _told(zoning, "amend", ID, "--ordinance", "2023-502", "--parcel", next(iter(truth.rezoned)))
    (tmp_path / "letter.json").write_text(json.dumps({"jurisdiction": ID, "case_numbers": ["7"]}))
    _told(zoning, "publish-amendment", str(tmp_path / "letter.json"))
    closed = county_toml("http://127.0.0.1:1").replace(ID, "us-xx-closed")
    (tmp_path / "jurisdictions" / "us-xx-closed.toml").write_text(closed)
    _told(zoning, "pause", "us-xx-closed", "--reason", "a long reason that does not end soon " * 5)
    day = feed["changes"][0]["detected"][:10]
    commands = [
        ("status",), ("changes",), ("changes", "--summary"), ("changes", "--jurisdiction", ID, "--review"),
        ("changes", "--kind", "split"), ("rejections",), ("rejections", ID), ("parcel", ID, parcel),
        ("explain", change), ("amendments",), ("queue", "peek"), ("probe", ID), ("watch", ID, parcel),
        ("preview-rules", ID), ("rollback", ID, "--to", day, "--reason", "to look"), ("verify",), ("sync", ID),
    ]  # fmt: skip
    ids = {each["id"] for group in groups for each in group["samples"]}
    for words in commands:
        for width in (80, 120):
            shown = seen(width, *words)
            assert max(map(len, shown), default=0) <= width, (words, width, shown)
            assert "…" not in "".join(shown), words
            cut = [line for line in shown for word in line.split() if any(_is_cut(word, id_) for id_ in ids)]
            assert not cut, (words, width, cut)
    assert any(parcel in line.split() for line in seen(80, "changes", "--kind", "split"))
    piped = _told(zoning, "changes")
    assert all(each["id"] in piped and all(id_ in piped for id_ in each["parcel_ids"]) for each in feed["changes"])


def _is_cut(word: str, id_: str) -> bool:
    """Whether a word is the beginning of an id, and not all of it."""
    return len(id_) > len(word) >= len(id_) // 2 and id_.startswith(word)


@pytest.mark.usefixtures("county")
def test_the_change_feed_in_all_its_forms(zoning: Zoning, seen: Seen) -> None:
    """JSON and CSV have all changes, a table says how many of how many it shows, a summary counts by kind and codes."""
    feed = json.loads(_told(zoning, "changes", "--json"))
    changes = feed["changes"]
    assert feed["total"] == feed["shown"] == len(changes) > 5

    some = json.loads(_told(zoning, "changes", "--json", "--limit", "3"))
    assert (some["total"], some["shown"], some["changes"]) == (len(changes), 3, changes[:3])
    title, _, _, *rows = seen(80, "changes", "--limit", "2")
    assert title == f"Changes of {ID}, newest first: showing 2 of {len(changes)}"
    assert _told(zoning, "explain", rows[0].split()[0]).startswith(changes[0]["id"])

    listed = list(csv.DictReader(StringIO(_told(zoning, "changes", "--csv"))))
    assert [each["id"] for each in listed] == [each["id"] for each in changes]
    assert listed[0]["noticed"]
    assert all(not cell.startswith(("=", "+", "-", "@")) for each in listed for cell in each.values())

    rezoned = [each for each in changes if each["kind"] == "rezoned"]
    summary = json.loads(_told(zoning, "changes", "--kind", "rezoned", "--summary", "--json"))
    assert summary["total"] == len(rezoned)
    groups = {(each["old"], each["new"]): each for each in summary["summary"]}
    assert set(groups) == {(each["old"], each["new"]) for each in rezoned}
    for codes, group in groups.items():
        mine = [each for each in rezoned if (each["old"], each["new"]) == codes]
        assert group["changes"] == len(mine)
        assert group["parcels"] == len({each["parcel_ids"][0] for each in mine})
        assert group["area_m2"] == pytest.approx(sum(each["area_m2"] for each in mine))
    lineage = json.loads(_told(zoning, "changes", "--kind", "split", "--summary", "--json"))["summary"]
    assert [(each["old"], each["new"]) for each in lineage] == [(None, None)]

    areas = sorted(each["area_m2"] for each in changes if each["area_m2"])
    large = json.loads(_told(zoning, "changes", "--min-area", str(areas[-2]), "--json"))
    assert large["total"] == 2
    lot = rezoned[0]["parcel_ids"][0]
    assert lot in json.loads(_told(zoning, "changes", "--parcel", lot, "--json"))["changes"][0]["parcel_ids"]
    assert json.loads(_told(zoning, "changes", "--since", "2000-01-01", "--json"))["total"] == len(changes)
    assert json.loads(_told(zoning, "changes", "--since", "2100-01-01", "--json"))["total"] == 0


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("changes", "--kind", "rezonde"), 2, "choose one of: rezoned, partly_rezoned, "),
        (("changes", "--jurisdiction", "us-ma-cambrige"), 2, "choose one of: us-ma-cambridge"),
        (("changes", "--since", "soon"), 2, "'soon' is not a time"),
        (("changes", "--csv", "--json"), 2, "give only one"),
        (("changes", "--summary", "--limit", "5"), 2, "a summary counts all"),
        (("rejections", "us-ma-cambrige"), 2, "choose one of: us-ma-cambridge"),
        (("parcel", "us-ma-cambrige", "1"), 2, "choose one of: us-ma-cambridge"),
        (("watch", "us-ma-cambrige", "1"), 2, "choose one of: us-ma-cambridge"),
        (("amendments", "--jurisdiction", "us-ma-cambrige"), 2, "choose one of: us-ma-cambridge"),
    ],
)
def test_what_nobody_knows_is_an_error_and_no_empty_list(
    zoning: Zoning, database: str, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], status: int, says: str
) -> None:
    """A misspelled kind or jurisdiction lists the right ones."""
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    ended, out, err = zoning(*words)
    assert ended == status
    assert says in err
    if "--json" not in words:
        assert out == ""


def test_a_real_terminal_tells_its_width(zoning: Zoning, database: str, tmp_path: Path) -> None:
    """A process of its own on a pseudo-terminal: nothing of the environment says how wide it is."""
    environ = {"ZONING_DATABASE_URL": database, "ZONING_HOME": str(tmp_path / "home"), "LANG": "C.UTF-8"}
    for width in (80, 120):
        ended = on_terminal(width, environ, "status")
        assert ended.status == 0
        assert max(map(len, ended.lines)) <= width
        assert any("us-ma-cambridge" in line for line in ended.lines)
