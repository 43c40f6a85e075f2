"""What failed at an object store, in one line, without XML, addresses and keys; the messages are those of obstore."""

from pathlib import Path

import obstore
import pytest
from obstore.exceptions import GenericError, PermissionDeniedError

from zoning_assets.errors import SettingInvalid
from zoning_assets.storage.object_store import store_errors
from zoning_assets.storage.object_store.object_store import Objects

_ANSWERED = (
    "Generic S3 error: Error performing PUT http://h in 9s{retries} - Server returned non-2xx status code: {status}: "
    "<?xml?><Error><Code>{code}</Code><Message>x</Message><AWSAccessKeyId>AKIA</AWSAccessKeyId></Error>\n\n"
    "Debug source:\nGeneric"
)


@pytest.mark.parametrize(
    ("status", "code", "retries", "wanted"),
    [
        (
            "403 Forbidden",
            "SignatureDoesNotMatch",
            "",
            "the server refuses the credentials (403 SignatureDoesNotMatch)",
        ),
        ("403 Forbidden", "RequestTimeTooSkewed", "", "the clock of this machine is wrong (403 RequestTimeTooSkewed)"),
        ("404 Not Found", "NoSuchBucket", "", "its bucket does not exist (404 NoSuchBucket)"),
        ("404 Not Found", "ContainerNotFound", "", "its container does not exist (404 ContainerNotFound)"),
        (
            "503 Service Unavailable",
            "SlowDown",
            ", after 10 retries, max_retries: 10",
            "the server is overloaded (503 SlowDown, after 10 retries)",
        ),
        ("500 Internal Server Error", "InternalError", "", "the server failed (500 InternalError)"),
        ("400 Bad Request", "EntityTooSmall", "", "the server refuses it (400 EntityTooSmall)"),
    ],
)
def test_what_a_server_answered(status: str, code: str, retries: str, wanted: str) -> None:
    what, do = store_errors.reason(GenericError(_ANSWERED.format(status=status, code=code, retries=retries)))
    assert what == wanted
    assert do


def test_credentials_that_are_not_set() -> None:
    """obstore then asks the metadata server of a cloud, which is not there."""
    text = "Generic S3 error: Error performing PUT http://169.254.169.254/latest/api/token in 3s, after 10 retries"
    assert store_errors.reason(PermissionDeniedError(text))[0] == "no credentials are set"


def test_a_missing_object_does_not_save_the_others(tmp_path: Path) -> None:
    """A deletion of many objects of which one is missing deletes all others."""
    objects = Objects(str(tmp_path))
    names = [f"folder/{number}" for number in range(300)]
    for name in names:
        objects.put(name, b"x")
    objects.delete(["folder/none", *names, "folder/none too"])
    assert objects.names("folder") == []


def test_an_immutable_object_is_read_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large one each time, and another Objects reads it again."""
    objects = Objects(str(tmp_path))
    objects.put("small", b"x")
    objects.put("large", b"x" * 100_000)
    read = list[str]()
    get = obstore.get
    monkeypatch.setattr(obstore, "get", lambda store, name: read.append(name) or get(store, name))
    for name in ("small", "large") * 3:
        assert objects.get_immutable(name)
    assert sorted(read) == ["large"] * 3 + ["small"]
    assert Objects(str(tmp_path)).get_immutable("small") == b"x"
    assert read.count("small") == 2


@pytest.mark.parametrize(
    ("url", "name", "value"),
    [
        ("az://container/folder", "AZURE_STORAGE_ACCOUNT_KEY", "a-secret"),
        ("gs://bucket/folder", "GOOGLE_SERVICE_ACCOUNT_KEY", '{"private_key": "a-secret'),
        ("s3://bucket/folder", "AWS_ALLOW_HTTP", "a-secret?"),
    ],
)
def test_a_wrong_variable(url: str, name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line that names the setting and the page about it; a key is no part of it."""
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "account")
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingInvalid, match=r"ZONING_STORE_URL: .* cannot be opened: .*object-stores.md") as raised:
        Objects(url)
    assert "a-secret" not in str(raised.value).replace("a-secret?", "")
