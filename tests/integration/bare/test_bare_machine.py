"""On a Debian 12 that has python3 and pip and nothing else, a clone starts with one command, as root or a plain user.

`bare_machine` makes such a machine once a session, `clone_into` puts the working tree on it, `run_on` runs
`./zoning WORD...` there. To try another command, add it to COMMANDS.
"""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.debian_root import copy_tree, debian_root, fetching_environ

REPO = Path(__file__).parents[3]
SUITE = "bookworm"
COMMANDS: tuple[tuple[str, ...], ...] = (("db", "up", "--json"), ("db", "url", "--json"))
CLONES = {"root": "/root/zoning", "plain": "/home/plain/a clone with spaces"}  # user: where
COMMAND_MOST_S = 900


@dataclass(frozen=True)
class Ran:
    """How a command on the bare machine ended."""

    status: int
    stdout: str
    stderr: str
    seconds: float


def clone_into(machine: Path, user: str, where: str) -> None:
    """The working tree as it would be committed, owned by the user."""
    copy_tree(machine / where.lstrip("/"))
    chown = ["chroot", str(machine), "chown", "--recursive", f"{user}:{user}", where]
    subprocess.run(chown, check=True, timeout=60)


def run_on(machine: Path, user: str, words: Sequence[str], where: str | None = None) -> Ran:
    """Run `./zoning WORD...` of the user's clone there, from another folder, with next to no environment."""
    home = "/root" if user == "root" else f"/home/{user}"
    environ = fetching_environ() | {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": home}
    command = [
        str(shutil.which("chroot")),
        f"--userspec={user}:{user}",
        str(machine),
        f"{where or CLONES[user]}/zoning",
        *words,
    ]
    began = time.monotonic()
    done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=COMMAND_MOST_S, check=False)
    return Ran(done.returncode, done.stdout, done.stderr, time.monotonic() - began)


@pytest.fixture(scope="session")
def bare_machine() -> Iterator[Path]:
    with debian_root(SUITE, "python3,python3-pip") as folder:
        subprocess.run(["chroot", str(folder), "useradd", "--create-home", "plain"], check=True, timeout=60)
        subprocess.run(["mount", "-t", "proc", "proc", str(folder / "proc")], check=True, timeout=60)
        yield folder


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("user", CLONES)
def test_a_clone_starts_on_a_bare_machine(bare_machine: Path, user: str) -> None:
    """With python3 and pip alone, each command ends well; what was installed is not installed again."""
    clone_into(bare_machine, user, CLONES[user])
    answers = []
    for number, words in enumerate(COMMANDS):
        ran = run_on(bare_machine, user, words)
        print(f"{user}: zoning {' '.join(words)}: {ran.seconds:.1f} s")  # noqa: T201 -- shown by pytest -s
        assert ran.status == 0, ran.stderr
        assert ("installing" in ran.stderr) == (number == 0)
        answers.append(json.loads(ran.stdout)["url"])
    assert len(set(answers)) == 1
    assert answers[0].startswith("postgresql://")
    _check_demo(bare_machine, user)
    assert run_on(bare_machine, user, ["db", "down"]).status == 0


def _check_demo(bare_machine: Path, user: str) -> None:
    """The demo's summary adds up; a second demo adds no row and no change."""
    first, second = (run_on(bare_machine, user, ["demo", "--json"]) for _ in range(2))
    assert (first.status, second.status) == (0, 0), first.stderr + second.stderr
    print(f"{user}: zoning demo: {first.seconds:.1f} s, again {second.seconds:.1f} s")  # noqa: T201 -- shown by pytest -s
    told, again = json.loads(first.stdout), json.loads(second.stdout)
    for report in told["harvests"] + again["harvests"]:
        assert report["complete"], report
        assert report["fetched"] == report["accepted"] + report["rejected"]
    assert sum(told["changes"].values()) > 0
    assert again["changes"] == {}
    assert [report for report in again["harvests"] if report["added"] or report["changed"] or report["retired"]] == []


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_somebody_elses_clone_is_one_clear_line(bare_machine: Path) -> None:
    """A user who may not write into the clone is told so in one line."""
    clone_into(bare_machine, "root", "/opt/zoning")
    ran = run_on(bare_machine, "plain", ["db", "up"], "/opt/zoning")
    assert ran.status == 1
    assert ran.stdout == ""
    assert re.fullmatch(r"zoning: /opt/zoning/\.zoning: .*\n", ran.stderr)


@pytest.fixture
def launcher() -> ModuleType:
    """The program `zoning`, as a module."""
    loader = SourceFileLoader("zoning_launcher", str(REPO / "zoning"))
    spec = spec_from_loader(loader.name, loader)
    assert spec
    module = module_from_spec(spec)
    loader.exec_module(module)
    return module


def test_a_python_of_the_wrong_version_is_one_line(
    launcher: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A Python that is too new is named, with those that would do, before anything is touched."""
    monkeypatch.setattr(launcher, "PYTHONS", ((3, 1), (3, 2)))
    assert launcher.main() == 1
    assert re.fullmatch(r"zoning: this is Python .* 3\.11, 3\.12 or 3\.13 is needed.*\n", capsys.readouterr().err)


def test_a_program_is_told_why_nothing_was_started(
    launcher: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --json, stdout is one document even where the environment could not be made."""
    monkeypatch.setattr(launcher, "PYTHONS", ((3, 1), (3, 2)))
    monkeypatch.setattr("sys.argv", ["zoning", "sync", "us-xx-mytown", "--json"])
    assert launcher.main() == 1
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert (f"zoning: {told['error']}\n", told["exit_status"]) == (said.err, 1)


def test_what_the_user_set_is_left_alone(launcher: ModuleType, tmp_path: Path) -> None:
    """ZONING_HOME and DAGSTER_HOME have defaults under the clone; a user's own settings win."""
    own = launcher.settings({"ZONING_HOME": str(tmp_path / "mine"), "DAGSTER_HOME": str(tmp_path / "dagster")})
    assert own == {"ZONING_HOME": str(tmp_path / "mine"), "DAGSTER_HOME": str(tmp_path / "dagster")}
    assert not (tmp_path / "dagster").exists()
    ours = launcher.settings({"ZONING_HOME": str(tmp_path / "mine")})
    assert ours["DAGSTER_HOME"] == str(tmp_path / "mine/dagster")


def test_a_changed_lock_is_noticed(launcher: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment counts as installed only for the lock it was made from."""
    lock, stamp = tmp_path / "lock", tmp_path / "stamp"
    lock.write_text("a==1")
    for name, value in (("LOCK", lock), ("STAMP", stamp), ("VENV_PYTHON", Path("/bin/sh"))):
        monkeypatch.setattr(launcher, name, str(value))
    assert not launcher.installed()
    stamp.write_text(json.dumps(launcher.wanted()))
    assert launcher.installed()
    lock.write_text("a==2")
    assert not launcher.installed()
