"""The words about certificates: write one, check it where there is no database."""

import json
import stat
from pathlib import Path

import pytest

from tests.cli.conftest import Zoning
from tests.support.changed_county import ChangedCounty
from zoning_assets.certificates import signing_key
from zoning_assets.certificates.certificate_format import canonical
from zoning_assets.storage.postgis.records import change_records


def test_the_command_writes_and_checks_it(
    zoning: Zoning,
    published_county: ChangedCounty,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Write, then check where there is no database; the private key is for this user only and is in no output."""
    monkeypatch.setenv("ZONING_DATABASE_URL", published_county.url)
    monkeypatch.setenv("ZONING_STORE_URL", str(published_county.store))
    (first, *_) = change_records.find(published_county.url, kind="split")
    file, public = tmp_path / "change.json", tmp_path / "key.pem"
    outputs = [zoning("certificate", first["id"][:12], "--to", str(file)), zoning("certificate", "--public-key")]
    assert [status for status, *_ in outputs] == [0, 0]
    public.write_text(outputs[1][1])
    private = tmp_path / "home" / "certificate-key.pem"
    assert stat.S_IMODE(private.stat().st_mode) == 0o600
    secret = private.read_text().splitlines()[1]
    written = [text for _, *texts in outputs for text in texts]
    assert not any(secret in text for text in [*written, file.read_text(), public.read_text()])

    monkeypatch.setenv("ZONING_DATABASE_URL", "postgresql://127.0.0.1:1/nothing")
    check = ("verify", "--certificate", str(file), "--key", str(public))
    status, out, _ = zoning(*check, "--json")
    assert (status, json.loads(out)["ok"], json.loads(out)["change"]) == (0, True, first["id"])
    assert "split, " in zoning(*check)[1]
    signed = json.loads(file.read_text())
    signed["certificate"]["change"]["state"] = "retracted"
    with_key = signing_key.load_or_create(tmp_path / "home")
    signed["signature"] = with_key.sign(canonical(signed["certificate"])).hex()
    (tmp_path / "undone.json").write_bytes(canonical(signed) + b"\n")
    _, out, _ = zoning("verify", "--certificate", str(tmp_path / "undone.json"), "--key", str(public))
    assert "split (retracted: not in the change feed), " in out
    file.write_bytes(file.read_bytes().replace(b"split", b"Split", 1))
    status, out, err = zoning(*check)
    assert (status, out, err.count("\n")) == (1, "", 1)
    status, out, _ = zoning(*check, "--json")
    assert (status, json.loads(out)["ok"], json.loads(out)["exit_status"]) == (1, False, 1)


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        (("certificate",), 2, "one change, or the key, is written"),
        (("certificate", "abc", "--public-key"), 2, "one change, or the key, is written"),
        (("certificate", "%"), 2, "is not the id of a change"),
        (("certificate", "nonesuch"), 1, "no id of a change starts with this"),
        (("verify", "--certificate", "nonesuch"), 2, "a certificate is checked with its key"),
        (("verify", "--certificate", "nonesuch", "--key", "nonesuch"), 2, "there is no such file"),
    ],
)
def test_wrong_words_are_one_line(
    zoning: Zoning, published_county: ChangedCounty, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...],
    status: int, says: str,
) -> None:  # fmt: skip
    monkeypatch.setenv("ZONING_DATABASE_URL", published_county.url)
    ended, out, err = zoning(*words)
    assert (ended, out, err.count("\n")) == (status, "", 1)
    assert says in err
