"""The words of the command line: what they say when something is wrong, to people and to programs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Zoning
from zoning_assets.errors import ZoningError

CAMBRIDGE = """
id = "us-xx-mytown"
name = "My Town"
bounds = [-71.17, 42.35, -71.06, 42.41]
[feeds.parcels]
type = "download"
url = "parcels.zip"
key = "ML"
"""


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["snc"], "No such command 'snc'. Did you mean 'sync'? See `zoning --help`"),
        (["sync"], "Missing argument 'JURISDICTION...'; see `zoning sync --help`"),
        (["sync", "us-xx-mytown", "--jsn"], "see `zoning sync --help`"),
        (["demo", "--parcels", "many"], "--parcels"),
        (["demo", "--parcels", "-5"], "greater than or equal to 200"),
        (["up", "--port", "99999"], "less than or equal to 65535"),
        (["db", "upp"], "See `zoning db --help`"),
        (["sync", "us-xx-mytown", "--tile", "nonsense"], "--tile: 'nonsense' is not an H3 cell"),
        (["sync", "us-xx-mytown", "--feed", "nonsense"], "choose parcels or zoning"),
        (["sync", "us-xx-nowhere"], "'us-xx-nowhere': no file describes this jurisdiction; write "),
        (["sync", "../../etc/passwd"], "/jurisdictions/ID.toml, or choose one of: "),
        (["sync", ""], "'': no file describes this jurisdiction"),
    ],
)
def test_a_wrong_word_is_one_line_and_status_2(zoning: Zoning, tmp_path: Path, words: list[str], says: str) -> None:
    """What was wrong and where the right words are listed, on one line and without a stack; nothing was started."""
    (tmp_path / "jurisdictions" / "us-xx-mytown.toml").write_text(CAMBRIDGE)
    status, out, err = zoning(*words)
    assert (status, out) == (2, "")
    assert re.fullmatch(r"zoning: [^\n]+\n", err)
    assert says in err
    assert not (tmp_path / "home").exists()


def test_no_word_at_all_lists_the_words(zoning: Zoning) -> None:
    """`zoning` by itself shows what there is."""
    status, _, err = zoning()
    assert status == 2
    assert err.startswith("Usage: zoning ")
    assert "sync" in err


@pytest.mark.parametrize(
    ("words", "status"), [(["snc"], 2), (["sync", "us-xx-nowhere"], 2), (["db", "url"], 1), (["sync"], 2)]
)
def test_a_program_gets_a_document_whatever_happened(zoning: Zoning, words: list[str], status: int) -> None:
    """With --json, stdout is one JSON document on failure too, with the line that people get and the exit status."""
    ended, out, err = zoning(*words, "--json")
    told = json.loads(out)
    assert ended == status == told["exit_status"]
    assert err == f"zoning: {told['error']}\n"


def test_a_home_that_cannot_be_used_is_one_line(
    zoning: Zoning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder that is a file is named, and so is what to do."""
    (tmp_path / "jurisdictions" / "us-xx-mytown.toml").write_text(CAMBRIDGE)
    (tmp_path / "file").touch()
    monkeypatch.setenv("ZONING_HOME", str(tmp_path / "file" / "home"))
    status, out, err = zoning("sync", "us-xx-mytown")
    assert (status, out) == (1, "")
    assert re.fullmatch(r"Starting \.\.\.\nzoning: [^\n]*/file[^\n]*; set ZONING_HOME [^\n]+\n", err)


@pytest.mark.parametrize("url", ["foo://bucket", "s3://", "{}/file/store"])
def test_a_store_that_is_none_is_one_line(
    zoning: Zoning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    """A store that cannot be opened is said before a database is brought up or a run is begun."""
    (tmp_path / "jurisdictions" / "us-xx-mytown.toml").write_text(CAMBRIDGE)
    (tmp_path / "file").touch()
    monkeypatch.setenv("ZONING_STORE_URL", url.format(tmp_path))
    status, out, err = zoning("sync", "us-xx-mytown")
    assert (status, out) == (2, "")
    assert re.fullmatch(r"zoning: ZONING_STORE_URL: [^\n]+; give a path, s3://, gs:// or az://[^\n]*\n", err)


def test_dagsters_database_is_asked_first(
    zoning: Zoning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, database: str
) -> None:
    """A wrong ZONING_DAGSTER_DATABASE_URL is one line at once, naming the setting and not the password."""
    (tmp_path / "jurisdictions" / "us-xx-mytown.toml").write_text(CAMBRIDGE)
    monkeypatch.setenv("ZONING_DATABASE_URL", database)
    wrong = re.sub(r":[^:@/]*@", ":s3cr3t@", database).replace("postgresql://", "postgresql+psycopg2://")
    monkeypatch.setenv("ZONING_DAGSTER_DATABASE_URL", wrong)
    status, out, err = zoning("sync", "us-xx-mytown")
    assert (status, out) == (1, "")
    assert re.fullmatch(
        r"Starting \.\.\.\nzoning: [^\n]*the user or the password is wrong[^\n]*ZONING_DAGSTER_DATABASE_URL\)\n", err
    )
    assert "s3cr3t" not in err
    monkeypatch.setenv("ZONING_DAGSTER_DATABASE_URL", "mysql://u:s3cr3t@localhost/x")
    status, out, err = zoning("sync", "us-xx-mytown")
    assert (status, out) == (2, "")
    assert re.fullmatch(
        r"Starting \.\.\.\nzoning: ZONING_DAGSTER_DATABASE_URL: is not an address of a PostgreSQL [^\n]+\n", err
    )


def test_what_a_portal_says_cannot_command_the_terminal() -> None:
    """Control characters in an error's text, and a change of writing direction, are left out."""
    error = ZoningError("titled '\x1b]0;owned\x07 \u202egnp.exe'\r\n", where="a\tportal\x9b2J", do="look\x00 at it")
    assert str(error) == "a portal 2J: titled ' ]0;owned gnp.exe'; look at it"


def test_ctrl_c_while_the_words_are_imported_is_one_line() -> None:
    """The first second is spent on imports; who changes their mind in it sees no stack."""
    program = (
        "import sys\nclass Interrupt:\n def find_spec(self, name, *_):\n  if name == 'typer': raise KeyboardInterrupt\n"
    )
    program += "sys.meta_path.insert(0, Interrupt())\n"
    program += "from zoning_assets.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=500, check=False)
    assert (done.returncode, done.stderr) == (130, "zoning: stopped before any work started\n")


def test_the_tests_need_a_clone(zoning: Zoning, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed program says so in one line, instead of missing one tool after the other."""
    monkeypatch.setattr("zoning_assets.cli.test._ROOT", tmp_path)
    status, _, err = zoning("test")
    assert status == 2
    assert re.fullmatch(r"zoning: zoning test: the tests need a clone [^\n]+\n", err)
