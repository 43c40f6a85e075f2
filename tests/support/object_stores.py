"""Object stores on loopback that are not ours: two S3 servers, Azurite, and an emulator of Google's storage.

Each is opened through a StoreProxy, and yields the address of an empty bucket and the environment to open it with.
"""

import base64
import hashlib
import hmac
import json
import os
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from tests.integration.peers import install
from tests.queues.brokers import Process, free_port, running
from tests.support.store_proxy import StoreProxy

BUCKET = "zoningtest"
_KEY, _SECRET = "AKIATESTTESTTEST", "a-secret-that-no-message-may-have"
#: The account and the key that Microsoft publishes for Azurite.
_ACCOUNT = "devstoreaccount1"
_ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="


@dataclass
class TestStore:
    """A running store.

    Attributes:
        url: for ZONING_STORE_URL.
        environ: the variables to open it with.
        proxy: what its clients talk to.
        process: the server, which can be killed and started again.
        secret: what no message may have.
        folder: where nanio keeps its buckets.
    """

    __test__ = False

    url: str
    environ: dict[str, str]
    proxy: StoreProxy
    process: Process
    secret: str
    folder: Path = Path()


@contextmanager
def nanio(folder: Path) -> Iterator[TestStore]:
    """An S3 server that verifies each signature and the client's clock; its objects are files, its buckets folders."""
    (folder / "nanio" / BUCKET).mkdir(parents=True)
    port = free_port()
    command = [str(install.nanio()), "serve", "--data-dir", str(folder / "nanio"), "--host", "127.0.0.1"]
    command += ["--port", str(port), "--no-access-log"]
    environ = {**os.environ, "NANIO_ACCESS_KEY": _KEY, "NANIO_SECRET_KEY": _SECRET}
    with _proxied(port, command, environ, folder) as (proxy, process):
        yield replace(_s3(proxy, process), folder=folder / "nanio")


@contextmanager
def moto(folder: Path) -> Iterator[TestStore]:
    """moto, which verifies no signature and forgets everything when it ends."""
    port = free_port()
    command = [str(install.moto().parent / "moto_server"), "-H", "127.0.0.1", "-p", str(port)]
    with _proxied(port, command, os.environ, folder) as (proxy, process):
        _ask("PUT", f"{proxy.address}/{BUCKET}")
        yield _s3(proxy, process)


def _s3(proxy: StoreProxy, process: Process) -> TestStore:
    environ = {
        "AWS_ENDPOINT_URL": proxy.address,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": _KEY,
        "AWS_SECRET_ACCESS_KEY": _SECRET,
    }
    return TestStore(f"s3://{BUCKET}/stores/a", environ, proxy, process, _SECRET)


@contextmanager
def azurite(folder: Path) -> Iterator[TestStore]:
    """Azurite, with the account that it always has."""
    port = free_port()
    command = [
        str(install.azurite()),
        "-l",
        str(folder / "azurite"),
        "--blobHost",
        "127.0.0.1",
        "--blobPort",
        str(port),
    ]
    with _proxied(port, [*command, "--silent", "--skipApiVersionCheck"], os.environ, folder) as (proxy, process):
        at = datetime.now(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
        signed = f"PUT{12 * chr(10)}x-ms-date:{at}\nx-ms-version:2021-08-06\n/{_ACCOUNT}/{_ACCOUNT}/{BUCKET}"
        signed += "\nrestype:container"
        digest = hmac.new(base64.b64decode(_ACCOUNT_KEY), signed.encode(), hashlib.sha256).digest()
        headers = {"x-ms-date": at, "x-ms-version": "2021-08-06"}
        headers["Authorization"] = f"SharedKey {_ACCOUNT}:{base64.b64encode(digest).decode()}"
        _ask("PUT", f"{proxy.address}/{_ACCOUNT}/{BUCKET}?restype=container", headers)
        environ = {
            "AZURE_STORAGE_ACCOUNT_NAME": _ACCOUNT,
            "AZURE_STORAGE_ACCOUNT_KEY": _ACCOUNT_KEY,
            "AZURE_STORAGE_ENDPOINT": f"{proxy.address}/{_ACCOUNT}",
            "AZURE_ALLOW_HTTP": "true",
        }
        yield TestStore(f"az://{BUCKET}/stores/a", environ, proxy, process, _ACCOUNT_KEY)


@contextmanager
def fake_gcs(folder: Path) -> Iterator[TestStore]:
    """fake-gcs-server. Of the XML API, which obstore speaks, it has no plain PUT but that of signed addresses."""

    def rewrite(method: str, path: str) -> str:
        return f"{path}?X-Goog-Algorithm=GOOG4" if method == "PUT" else path

    port, front = free_port(), free_port()
    command = [str(install.fake_gcs()), "-scheme", "http", "-host", "127.0.0.1", "-port", str(port)]
    command += ["-backend", "memory", "-public-host", f"127.0.0.1:{front}"]
    with _proxied(port, command, os.environ, folder, front) as (proxy, process):
        proxy.rewrite = rewrite
        body = json.dumps({"name": BUCKET}).encode()
        _ask("POST", f"{proxy.address}/storage/v1/b", {"content-type": "application/json"}, body)
        account = {"gcs_base_url": proxy.address, "disable_oauth": True, "private_key": "none", "private_key_id": "a"}
        file = folder / "account.json"
        file.write_text(json.dumps({**account, "client_email": "a@example.org"}))
        environ = {"GOOGLE_SERVICE_ACCOUNT": str(file)}
        yield TestStore(f"gs://{BUCKET}/stores/a", environ, proxy, process, "private_key")


@contextmanager
def _proxied(
    port: int, command: list[str], environ: Mapping[str, str], folder: Path, front: int = 0
) -> Iterator[tuple[StoreProxy, Process]]:
    process = Process("", port, command, environ, folder)
    with running(process), StoreProxy(port, port=front).running() as proxy:
        yield proxy, process


def _ask(method: str, url: str, headers: Mapping[str, str] | None = None, body: bytes = b"") -> None:
    request = urllib.request.Request(url, body or None, {**(headers or {})}, method=method)  # noqa: S310 - loopback
    with urllib.request.urlopen(request, timeout=30):  # noqa: S310 - loopback
        pass


STORES = {"nanio": nanio, "moto": moto, "azurite": azurite, "fake-gcs": fake_gcs}
