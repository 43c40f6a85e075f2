"""s3://, gs:// and az:// on servers that are not ours, and what these answer when something is wrong."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import object_stores
from tests.support.object_stores import TestStore
from tests.support.store_proxy import RESET, SKEWED, SLOW_DOWN
from zoning_assets.errors import HarvestMissing, StoreError
from zoning_assets.storage.object_store.object_store import Objects

pytestmark = pytest.mark.slow


@pytest.fixture(params=sorted(object_stores.STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestStore]:
    """Each of the stores; its variables are set."""
    with object_stores.STORES[request.param](tmp_path) as running:
        for name, value in running.environ.items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def s3(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestStore]:
    """A server that verifies signatures."""
    with object_stores.nanio(tmp_path) as running:
        for name, value in running.environ.items():
            monkeypatch.setenv(name, value)
        yield running


def test_the_operations(store: TestStore, tmp_path: Path) -> None:
    """Written, replaced, read, listed by folder, deleted together with what is missing."""
    objects = Objects(store.url)
    objects.put_json("raw/us-xx-a/latest.json", {"harvest": "1"})
    objects.put_json("raw/us-xx-a/latest.json", {"harvest": "2"})
    objects.put("raw/us-xx-ab/other", b"x")
    assert objects.find_json("raw/us-xx-a/latest.json") == {"harvest": "2"}
    assert objects.find_json("raw/us-xx-a/none.json") is None
    assert objects.size("raw/us-xx-ab/other") == 1
    assert not objects.has("raw/us-xx-ab/none")
    assert objects.names("raw/us-xx-a") == ["raw/us-xx-a/latest.json"]
    with pytest.raises(HarvestMissing):
        objects.get("raw/us-xx-a/none.json")
    many = [f"many/{number:04}" for number in range(300)]
    for name in many:
        objects.put(name, b"")
    assert sorted(objects.names("many")) == many
    objects.delete(["many/none", *many])
    assert objects.names("many") == []


def test_a_file_in_parts(store: TestStore, tmp_path: Path) -> None:
    """12 MiB, which obstore sends in three parts. The emulator of Google's storage has no such upload."""
    if store.url.startswith("gs://"):
        pytest.skip("fake-gcs-server has no multipart upload of the XML API")
    file, objects = tmp_path / "file", Objects(store.url)
    file.write_bytes(bytes(range(256)) * (12 << 12))
    objects.put("large", file)
    assert objects.size("large") == 12 << 20
    assert objects.get("large") == file.read_bytes()


@pytest.mark.parametrize(
    ("fault", "wanted"), [(SKEWED, "the clock of this machine is wrong"), ((403, b""), "refuses the credentials")]
)
def test_what_no_retry_helps(s3: TestStore, fault: tuple[int, bytes], wanted: str) -> None:
    """It is reported after one request."""
    objects = Objects(s3.url)
    s3.proxy.fault = lambda _method, _path: fault
    for call in (lambda: objects.get("a"), lambda: objects.put("a", b""), lambda: objects.names("a")):
        before = len(s3.proxy.log)
        with pytest.raises(StoreError, match=wanted):
            call()
        assert len(s3.proxy.log) == before + 1
    with pytest.raises(StoreError):
        objects.has("a")
    with pytest.raises(StoreError):
        objects.delete(["a"])


@pytest.mark.parametrize("fault", [SLOW_DOWN, RESET, (500, b"")])
def test_what_passes(s3: TestStore, fault: tuple[int, bytes]) -> None:
    """Each request is answered with a fault twice, then by the store."""
    objects, asked = Objects(s3.url), dict[tuple[str, str], int]()

    def twice(method: str, path: str) -> tuple[int, bytes] | None:
        asked[method, path] = asked.get((method, path), 0) + 1
        return fault if asked[method, path] <= 2 else None

    s3.proxy.fault = twice
    objects.put("a/b", b"1")
    assert objects.get("a/b") == b"1"
    assert objects.names("a") == ["a/b"]
    assert objects.has("a/b")
    objects.delete(["a/b"])
    assert not objects.has("a/b")


def test_wrong_credentials(s3: TestStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the key nor its id is part of the message."""
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "another-secret")
    with pytest.raises(StoreError) as raised:
        Objects(s3.url).get("a")
    assert "the server refuses the credentials (403 SignatureDoesNotMatch)" in str(raised.value)
    assert not [each for each in ("another-secret", s3.secret, s3.environ["AWS_ACCESS_KEY_ID"]) if each in str(raised)]


@pytest.mark.parametrize("name", ["nanio", "moto", "azurite"])
def test_no_such_bucket(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no missing object."""
    with object_stores.STORES[name](tmp_path) as running:
        for variable, value in running.environ.items():
            monkeypatch.setenv(variable, value)
        objects = Objects(running.url.replace(object_stores.BUCKET, "none-such"))
        for call in (lambda: objects.find_json("a"), lambda: objects.put("a", b""), lambda: objects.names("a")):
            with pytest.raises(StoreError, match=r"its (bucket|container) does not exist") as raised:
                call()
            assert not isinstance(raised.value, HarvestMissing)


def test_nothing_answers(s3: TestStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line, not the retries of three minutes: the port is closed."""
    s3.process.kill()
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    with pytest.raises(StoreError) as raised:
        Objects(s3.url).get("a")
    assert "nothing answers at its address" in str(raised.value)
    assert len(str(raised.value)) < 250
