"""An export to s3://, with moto as the server."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import obstore
import pytest
import requests

from tests.exports.conftest import LOTS, Town
from tests.integration.peers import install
from tests.queues.brokers import Process, free_port, running

pytestmark = pytest.mark.slow


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket."""
    port = free_port()
    settings = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    command = [str(install.moto().parent / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    with running(Process("s3://exports", port, command, os.environ, tmp_path)):
        requests.put(f"http://127.0.0.1:{port}/exports", timeout=30).raise_for_status()
        yield "s3://exports"


def test_an_object_and_its_description(town: Town, bucket: str) -> None:
    """Written once; a second export writes nothing; an object that was cut is written again."""
    first = town.export("csv", to=f"{bucket}/towns")
    store = obstore.store.from_url(f"{bucket}/towns")
    name = first.path.rpartition("/")[2]
    body = bytes(obstore.get(store, name).bytes())
    assert body.count(b"\r\n") == LOTS + 1
    assert json.loads(bytes(obstore.get(store, f"{name}.json").bytes())) == first.description
    assert sorted(str(each["path"]) for batch in obstore.list(store) for each in batch) == [name, f"{name}.json"]
    assert not town.export("csv", to=f"{bucket}/towns").written
    obstore.put(store, name, body[:-3])
    assert town.export("csv", to=f"{bucket}/towns").written
    assert bytes(obstore.get(store, name).bytes()) == body
