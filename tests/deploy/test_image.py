"""The steps of deploy/Dockerfile, executed in a Debian made by debootstrap, and its programs with a read-only root."""

import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import pytest

from tests.deploy import dockerfile
from tests.deploy.deploy_files import DEPLOY
from tests.deploy.dockerfile import Stage, built
from tests.support.debian_root import copy_tree, debian_root

TOKEN = "0123456789abcdef0123456789"  # noqa: S105 -- of this test
#: Mounts as a container engine does with `--read-only --tmpfs /tmp`: only /tmp and the volume can be written to.
READ_ONLY = """
set -eu
mount --make-rprivate /
mount --bind "$1" "$1"
mount -t proc proc "$1/proc"
mount -t tmpfs -o mode=1777 tmpfs "$1/tmp"
mount -t tmpfs -o mode=750,uid=10001,gid=10001 tmpfs "$1/var/lib/zoning"
mount -o remount,bind,ro "$1"
root=$1 user=$2 chroot=$3
shift 3
exec "$chroot" --userspec="$user" "$root" "$@"
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """The last stage of the Dockerfile."""
    context = tmp_path_factory.mktemp("context")
    copy_tree(context)
    # ca-certificates before, so that the image's own step does not replace this machine's certificates.
    with debian_root("trixie", "ca-certificates") as base:
        build = base.with_name(f"{base.name}-build")
        try:
            subprocess.run(["cp", "--archive", str(base), str(build)], check=True)
            began = time.monotonic()
            found = built((DEPLOY / "Dockerfile").read_text(encoding="utf-8"), context, [build, base])
            print(f"image: {time.monotonic() - began:.0f} s")  # noqa: T201 -- shown by pytest -s
        finally:
            shutil.rmtree(build, ignore_errors=True)
        yield found


@contextmanager
def running(image: Stage, words: Sequence[str], environ: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """A program as the image's user, with a read-only root."""
    chroot = str(shutil.which("chroot"))
    inside = ["unshare", "--mount", "/bin/sh", "-c", READ_ONLY, "run", str(image.root), image.user, chroot, *words]
    with subprocess.Popen(
        inside,
        env={**image.environ, **environ, "TINI_SUBREAPER": "1"},  # it is process 1 of a container, and not of this
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()


def output_of(image: Stage, *words: str) -> tuple[int, str]:
    with running(image, [*image.entrypoint, *words], {}) as process:
        out, _ = process.communicate(timeout=120)
        return process.returncode, out


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_programs_start_with_a_read_only_root(image: Stage) -> None:
    for words in (("zoning", "--help"), ("dagster", "--version"), ("dagster-webserver", "--version")):
        status, out = output_of(image, *words)
        assert status == 0, out
    status, out = output_of(image, "sh", "-c", "id -u; touch /opt/zoning/x || touch /tmp/x /var/lib/zoning/x")
    assert (status, out.split()[0]) == (0, "10001"), out
    assert "Read-only file system" in out or "Permission denied" in out


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_the_image_has_no_compiler_and_no_package_for_development(image: Stage) -> None:
    for name in ("gcc", "cc", "make", "pip", "pytest", "mypy"):
        found = dockerfile.chroot(image, ["/bin/sh", "-c", f"command -v {name}"], {})
        assert found.returncode != 0, found.stdout
    extras = "import celery, dagster_celery, dagster_k8s, redis, aio_pika, aiobotocore"
    done = dockerfile.chroot(image, ["/opt/zoning/bin/python", "-c", extras], {})
    assert done.returncode == 0, done.stderr
    size = subprocess.run(["du", "-sm", str(image.root)], capture_output=True, text=True, check=True).stdout.split()[0]
    print(f"image: {size} MB")  # noqa: T201 -- shown by pytest -s


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_its_default_command_serves_the_map_and_its_health_check_knows(image: Stage, database: str) -> None:
    """Against a real PostGIS. SIGTERM ends it through tini."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environ = {"ZONING_DATABASE_URL": database, "ZONING_API_TOKENS": f"read:{TOKEN}"}
    health = [word.replace("8484", str(port)) for word in image.health]
    with running(image, [*image.entrypoint, *image.command, "--port", str(port)], environ) as process:
        assert wait_for(port, process) == 200
        asked = urllib.request.Request(
            f"http://127.0.0.1:{port}/conformance", headers={"Authorization": f"Bearer {TOKEN}"}
        )
        with urllib.request.urlopen(asked, timeout=30) as answer:  # noqa: S310 -- of this machine
            assert b"conformsTo" in answer.read()
        assert dockerfile.chroot(image, health, {}).returncode == 0
        process.terminate()
        assert process.wait(15) in (143, -15)
    assert dockerfile.chroot(image, health, {}).returncode != 0


def wait_for(port: int, process: "subprocess.Popen[str]") -> int:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        assert process.poll() is None, process.stdout and process.stdout.read()
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
                return answer.status
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    return 0
