"""Settings: where a user's jurisdiction files are searched, whoever starts a command from wherever; and times."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cluster_fixture import REPO
from zoning_assets import settings
from zoning_assets.errors import SettingInvalid
from zoning_assets.settings import Settings, parse_time


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with a folder of jurisdictions, and an empty current folder elsewhere."""
    folder = tmp_path / "clone"
    (folder / "jurisdictions").mkdir(parents=True)
    (folder / "zoning").touch()
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr(settings, "CLONE", folder)
    monkeypatch.chdir(tmp_path / "elsewhere")
    return folder


def found(**environ: str) -> Path:
    return Settings.of(environ).jurisdictions


@pytest.mark.parametrize("text", ["yesterday", "", "0001-01-01T00:00+14:00", "9999-12-31T23:59-01:00"])
def test_a_time_that_is_none_is_one_line(text: str) -> None:
    """Also one at the edge of the calendar, which has no day in UTC."""
    with pytest.raises(SettingInvalid, match="is not a time"):
        parse_time(text, "--since")


def test_cron_finds_the_files_of_its_clone(clone: Path) -> None:
    """A command started in another folder reads the clone's, whatever ZONING_HOME is; a named folder wins."""
    assert found() == found(ZONING_HOME="/srv/zoning") == clone / "jurisdictions"
    assert found(ZONING_JURISDICTIONS="/etc/zoning") == Path("/etc/zoning")


def test_the_current_folders_files_win(clone: Path, tmp_path: Path) -> None:
    """`./jurisdictions`, where there is one: a project of its own."""
    (tmp_path / "elsewhere" / "jurisdictions").mkdir()
    assert found() == tmp_path / "elsewhere" / "jurisdictions"


def test_an_installed_program_looks_into_its_home(clone: Path, tmp_path: Path) -> None:
    """Without a clone: `./jurisdictions`, then ZONING_HOME's; where there is neither yet, the first."""
    (clone / "zoning").unlink()
    assert found(ZONING_HOME=str(tmp_path / "home")) == tmp_path / "elsewhere" / "jurisdictions"
    (tmp_path / "home" / "jurisdictions").mkdir(parents=True)
    assert found(ZONING_HOME=str(tmp_path / "home")) == tmp_path / "home" / "jurisdictions"


def test_what_is_not_found_says_where_it_was_searched(tmp_path: Path) -> None:
    """From a folder that has nothing: the error names the clone's folder."""
    command = [sys.executable, "-P", "-m", "zoning_assets.cli", "sync", "us-xx-nowhere"]
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(command, cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 2
    assert f"write {REPO}/jurisdictions/us-xx-nowhere.toml, or choose one of: " in done.stderr
    assert f"(searched: {REPO}/jurisdictions" in done.stderr
    assert done.stderr.rstrip().endswith("and the packaged examples)")


@pytest.mark.parametrize(
    ("store", "exports"),
    [
        ("s3://bucket/a/", "s3://bucket/a/exports/us-xx-a"),
        ("az://c/a", "az://c/a/exports/us-xx-a"),
        ("/data/store", None),
    ],
)
def test_where_runs_write_exports(store: str, exports: str | None) -> None:
    """To a store that all machines share; a folder is of one machine."""
    assert Settings.of({"ZONING_STORE_URL": store}).shared_exports("us-xx-a") == exports
