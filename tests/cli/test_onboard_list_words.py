"""`zoning onboard --list`: what was proposed is not asked again, no file is overwritten, and a bad line is one line."""

import json
import re
import signal
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Zoning
from zoning_assets import jurisdictions
from zoning_assets.cli import proposals
from zoning_assets.onboarding.address_list import origin
from zoning_assets.simulation.portal.portal_process import serving
from zoning_assets.sources import FEED_TYPES

TOML = """# Proposed
# {origin}
id = "{id}"
name = "{id}"
bounds = [-71.17, 42.35, -71.06, 42.41]
[feeds.parcels]
type = "arcgis"
url = "{url}/0"
key = "PIN"
"""
SERVICES = "https://{}.example.gov/arcgis/rest/services/P/FeatureServer"


def keep(home: Path, host: str, id_: str, **trial: Any) -> str:
    """Keep a proposal as a call before did; return its address."""
    url = SERVICES.format(host)
    feed = {"layer": "Parcels", "rows": 300, "crs": "EPSG:2249", "columns": {"key": [{"column": "PIN"}]}}
    toml = TOML.format(id=id_, url=url, origin=origin(url))
    found = {"id": id_, "bounds": [-71.17, 42.35, -71.06, 42.41], "feeds": {"parcels": feed}, "toml": toml}
    at = datetime.now(UTC).isoformat()
    proposals.keep(home, url, proposals.CachedProposal(at, found, {"fetched": 9, "accepted": 9, **trial}))
    return url


def test_a_list_is_filed_once_and_never_over_a_file(zoning: Zoning, tmp_path: Path) -> None:
    """The second call finds the files by their address, also where the id was chosen in the list."""
    home, folder = tmp_path / "home", tmp_path / "jurisdictions"
    a, b, c = keep(home, "a", "us-xx-a"), keep(home, "b", "us-xx-a"), keep(home, "c", "us-xx-c", accepted=0, why="9 x")
    (folder / "us-xx-mine.toml").write_text("# mine")
    d = keep(home, "d", "us-xx-mine")
    file = tmp_path / "list.txt"
    file.write_text(f"{a}\n{b} us-xx-b # chosen\n{c}\n{d}\n{a}/\nnot an address\n")
    status, out, err = zoning("onboard", "--list", str(file), "--json")
    assert status == 1, err
    assert sorted(each.name for each in folder.iterdir()) == ["us-xx-mine.toml"]
    assert [each["result"] for each in json.loads(out)["proposals"]] == ["proposed", "proposed"]
    status, out, err = zoning("onboard", "--list", str(file), "--write", "--json")
    document = json.loads(out)
    assert {each["id"]: each["written"] for each in document["proposals"]} == {
        id_: str(folder / f"{id_}.toml") for id_ in ("us-xx-a", "us-xx-b")
    }
    assert {each["line"]: each["why"] for each in document["failed"]} == {
        "line 3": "no row of the first page was accepted: 9 x",
        "line 4": "the file us-xx-mine.toml has the id us-xx-mine already",
        "line 6": "it has more than an address and an id",
    }
    assert all(each["do"] and each["address"] for each in document["failed"])
    assert document["repeated"] == [{"line": "line 5", "first": "line 1"}]
    assert (document["requests"], document["exit_status"], status) == (0, 1, 1)
    assert jurisdictions.load("us-xx-b", folder, FEED_TYPES).name == "us-xx-b"
    assert (folder / "us-xx-mine.toml").read_text() == "# mine"
    for path in (home / "onboard").iterdir():
        path.unlink()
    file.write_text(f"{a}\n{b} us-xx-other\n")
    status, out, err = zoning("onboard", "--list", str(file), "--write")
    assert status == 0, err
    assert "2 of 2 addresses were proposed before" in err
    assert [line.split()[0] for line in out.splitlines() if "exists" in line] == ["us-xx-a", "us-xx-b"]


def test_every_number_of_addresses_counts_malformed_lines(zoning: Zoning, tmp_path: Path) -> None:
    """Repeated lines are counted nowhere: their address is counted once."""
    a, b = keep(tmp_path / "home", "a", "us-xx-a"), keep(tmp_path / "home", "b", "us-xx-b")
    file = tmp_path / "list.txt"
    file.write_text(f"{a}\n{b}\n{a}\nnot an address\nhttps://c.gov UPPER\n")
    status, out, err = zoning("onboard", "--list", str(file))
    assert status == 1
    assert "2 of 4 addresses were proposed before" in err
    assert err.endswith("zoning: 2 of 4 addresses need a person\n")
    assert "2 of 4 addresses have a proposal" in out
    assert "2 of 4 addresses need a person" in out
    document = json.loads(zoning("onboard", "--list", str(file), "--json")[1])
    assert document["addresses"] == 4 == len(document["proposals"]) + len(document["failed"])
    assert document["error"] == "2 of 4 addresses need a person"


def test_two_lines_with_one_id_are_told(zoning: Zoning, tmp_path: Path) -> None:
    a, b = keep(tmp_path / "home", "a", "us-xx-a"), keep(tmp_path / "home", "b", "us-xx-a")
    (tmp_path / "list.txt").write_text(f"{a}\n{b}\n")
    status, out, err = zoning("onboard", "--list", str(tmp_path / "list.txt"), "--write")
    assert status == 1
    assert "line 1 has the id us-xx-a already" in out
    assert err.endswith("zoning: 1 of 2 addresses need a person\n")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "URL: it is missing; give the address of a portal, or --list FILE"),
        (["--list", "nowhere.txt"], "nowhere.txt: cannot be read: there is no such file"),
        (["https://a.gov", "--list", "x"], "--list: an address and a list exclude each other"),
        (["--list", "x", "--id", "us-xx-a"], "--id: an id is of one portal"),
    ],
)
def test_wrong_words_are_one_line(zoning: Zoning, words: list[str], says: str) -> None:
    status, out, err = zoning("onboard", *words)
    assert (status, out) == (2, "")
    assert re.fullmatch(r"zoning: [^\n]+\n", err)
    assert says in err


@pytest.mark.slow
def test_a_stop_keeps_what_was_proposed(database: str, tmp_path: Path) -> None:
    """Ctrl-C in the middle says how to go on; the same command then asks only the others, within the shared limits."""
    with serving(300) as one, serving(300) as two:
        path = "arcgis/rest/services/County/FeatureServer"
        (tmp_path / "list.txt").write_text(
            f"{one}/{path}/0 us-xx-one\nhttp://127.0.0.1:9/{path} us-xx-no\n{two}/{path}/0 us-xx-two\n"
        )
        environ = {
            "PATH": "/usr/bin:/bin",
            "ZONING_DATABASE_URL": database,
            "ZONING_HOME": str(tmp_path / "home"),
            "ZONING_JURISDICTIONS": str(tmp_path / "j"),
        }
        command = [
            sys.executable,
            "-m",
            "zoning_assets.cli",
            "onboard",
            "--list",
            str(tmp_path / "list.txt"),
            "--write",
        ]
        with subprocess.Popen(command, env=environ, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr
            while not (tmp_path / "j" / "us-xx-one.toml").exists():
                assert process.poll() is None
            process.send_signal(signal.SIGINT)
            said = process.stderr.read()
        assert process.returncode == 130
        assert said.endswith("stopped; run the same command again to continue\n")
        assert sorted(each.name for each in (tmp_path / "j").iterdir()) == ["us-xx-one.toml"]
        done = subprocess.run([*command, "--json"], env=environ, capture_output=True, text=True, check=False)
    document = json.loads(done.stdout)
    assert {each["id"]: each["result"] for each in document["proposals"]} == {
        "us-xx-one": "exists",
        "us-xx-two": "written",
    }
    assert [each["id"] for each in document["failed"]] == ["us-xx-no"]
    assert done.returncode == 1
