"""The certificate of a change: what it names is what is stored, OpenSSL accepts it, and a flipped byte is refused."""

import hashlib
import json
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import rows
from tests.support.changed_county import ChangedCounty
from tests.support.databases import copied
from tests.support.sampling import examples
from zoning_assets.certificates import certificate_check, signing_key
from zoning_assets.certificates.certificate_format import canonical
from zoning_assets.certificates.change_certificate import CertificateIssuer, leaves_of
from zoning_assets.errors import CertificateRefused, SettingInvalid
from zoning_assets.model import Place
from zoning_assets.operations import history_rollback
from zoning_assets.storage.object_store import raw_harvests
from zoning_assets.storage.postgis.records import change_records
from zoning_assets.storage.postgis.records.certificate_queries import published_states

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)


@pytest.fixture(scope="module")
def key() -> Ed25519PrivateKey:
    return Ed25519PrivateKey.generate()


@pytest.fixture(scope="module")
def pem(key: Ed25519PrivateKey) -> bytes:
    return signing_key.public_pem(key.public_key())


@pytest.fixture(scope="module")
def issued(published_county: ChangedCounty, key: Ed25519PrivateKey) -> bytes:
    """The certificate of one rezoning."""
    (first, *_) = change_records.find(published_county.url, kind="rezoned")
    return CertificateIssuer(published_county.url, published_county.objects, key, "zoning-assets test").issue(
        first, NOW
    )


def test_what_it_names_is_what_is_stored(published_county: ChangedCounty, issued: bytes) -> None:
    """Rows by their hashes, pages by theirs; and the root is that of all pages of the layer's harvest."""
    document = json.loads(issued)["certificate"]
    change, truth = document["change"], published_county.truth.truth
    assert truth is not None
    (parcel,) = change["parcel_ids"]
    assert (document["before"]["value"], document["after"]["value"]) == truth.rezoned[parcel]
    ((content,),) = rows(published_county.url, "SELECT content_hash FROM zoning.parcel WHERE parcel_id = %s", parcel)
    assert document["after"]["parcels"][0]["content_hash"] == content
    for side in ("before", "after"):
        state = document[side]
        assert max(state["districts"], key=lambda each: each["covers"])["code"] == state["value"]
        assert {each["feed"] for each in state["harvests"]} == {"parcels", "zoning"}
        for harvest in state["harvests"]:
            place = Place(change["jurisdiction"], harvest["tile"])
            stored = raw_harvests.of(published_county.objects, place, harvest["feed"], harvest["harvest"])
            assert {each["sha256"] for each in harvest["pages"]} == {page.name for page in stored.pages}
            for page in stored.pages:
                body = raw_harvests.read_page(published_county.objects, stored, page)
                assert hashlib.sha256(body).hexdigest() == page.name
            layer = Place(change["jurisdiction"])
            whole = raw_harvests.of(published_county.objects, layer, harvest["feed"], harvest["layer_harvest"])
            assert harvest["leaves"] == len(leaves_of(whole)) == len(whole.pages)
            assert harvest["proof"] == dict(whole.proof) != {}


def test_a_sound_certificate_is_accepted(issued: bytes, pem: bytes) -> None:
    found = certificate_check.check(issued, pem)
    assert (found.kind, found.state, found.issued) == ("rezoned", "event", NOW.isoformat())
    assert found.pages >= 4


def test_openssl_accepts_the_signature(issued: bytes, pem: bytes, tmp_path: Path) -> None:
    """A program that is not ours, over bytes that Python's own JSON writes."""
    document = json.loads(issued)
    text = json.dumps(document["certificate"], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    for name, body in (("k", pem), ("m", text.encode()), ("s", bytes.fromhex(document["signature"]))):
        (tmp_path / name).write_bytes(body)
    words = ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", "k", "-rawin", "-in", "m", "-sigfile", "s"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@settings(max_examples=examples(400))
@given(data=st.data())
def test_a_flipped_byte_anywhere_is_refused(issued: bytes, pem: bytes, data: st.DataObject) -> None:
    """Of the certificate or of the key, any bits; with one clear line."""
    files = [issued, pem]
    which = data.draw(st.integers(0, 1))
    at, bits = data.draw(st.integers(0, len(files[which]) - 1)), data.draw(st.integers(1, 255))
    files[which] = files[which][:at] + bytes([files[which][at] ^ bits]) + files[which][at + 1 :]
    with pytest.raises(CertificateRefused) as refused:
        certificate_check.check(*files)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("which", [0, 1])
def test_each_single_bit_of_the_end_and_the_key_is_refused(issued: bytes, pem: bytes, which: int) -> None:
    """Where an encoding could have spare bits: each bit of the whole key, and of the signature."""
    files = [issued, pem]
    whole = files[which]
    for at in range(max(0, len(whole) - 300), len(whole)):
        for bit in range(8):
            files[which] = whole[:at] + bytes([whole[at] ^ (1 << bit)]) + whole[at + 1 :]
            with pytest.raises(CertificateRefused):
                certificate_check.check(*files)


def test_added_removed_and_reformatted_bytes_are_refused(issued: bytes, pem: bytes) -> None:
    pretty = json.dumps(json.loads(issued), indent=2).encode()
    deep = issued.replace(b'"change":{', b'"change":{"a":' + b"[" * 300 + b"]" * 300 + b",", 1)
    signature = json.loads(issued)["signature"].encode()
    line_feed = issued.replace(signature, signature + b"\\n")  # the same bytes in another spelling
    changed = (issued + b"\n", issued[:-1], b" " + issued, pretty, b"", b"{}", b"[" * 100_000, issued * 2)
    for body in (*changed, deep, line_feed):
        with pytest.raises(CertificateRefused):
            certificate_check.check(body, pem)


def test_another_key_is_refused(issued: bytes) -> None:
    other = signing_key.public_pem(Ed25519PrivateKey.generate().public_key())
    with pytest.raises(CertificateRefused, match="another key"):
        certificate_check.check(issued, other)


def test_a_page_that_is_not_of_its_harvest_is_refused(issued: bytes, key: Ed25519PrivateKey, pem: bytes) -> None:
    """Although it is signed: the paths are checked, not only the signature."""
    document = json.loads(issued)
    document["certificate"]["after"]["harvests"][0]["pages"][0]["sha256"] = "0" * 64
    document["signature"] = key.sign(canonical(document["certificate"])).hex()
    with pytest.raises(CertificateRefused, match="is not part of its harvest"):
        certificate_check.check(canonical(document) + b"\n", pem)


def test_a_state_that_a_rollback_restored_has_its_first_source(
    server: str, published_county: ChangedCounty, issued: bytes, key: Ed25519PrivateKey, pem: bytes
) -> None:
    """Not the batch of the rollback, which has no harvest, but the one that published the same rows before. The
    certificate of a change that it undid says so."""
    rows(server, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", published_county.name)
    with copied(server, published_county.name) as (_, url):
        (change, *_) = change_records.find(url, kind="rezoned")
        ((moment,),) = rows(url, "SELECT judged FROM zoning.release ORDER BY id LIMIT 1")
        history_rollback.roll_back(
            url, published_county.objects, published_county.jurisdiction, to=moment, actor="ann", reason="wrong",
            dry_run=False,
        )  # fmt: skip
        found = published_states(url, change, 10**9, 10**9)
        undone = CertificateIssuer(url, published_county.objects, key, "test").issue(
            change_records.find_one(url, change["id"]), NOW
        )
        assert certificate_check.check(undone, pem).state == "retracted"
        known = dict(rows(url, "SELECT id, harvest FROM zoning.batch WHERE undoes IS NULL AND committed <= %s", moment))
    before = json.loads(issued)["certificate"]["before"]
    for feed, name in (("parcels", "parcels"), ("zoning", "districts")):
        assert found[feed]
        assert all(known[row["batch"]] == row["harvest"] for row in found[feed])
        assert [row["content_hash"] for row in found[feed]] == [row["content_hash"] for row in before[name]]


def test_a_private_key_that_others_may_read_is_not_used(tmp_path: Path) -> None:
    signing_key.load_or_create(tmp_path)
    file = tmp_path / "certificate-key.pem"
    assert list(tmp_path.iterdir()) == [file]
    file.chmod(0o640)
    with pytest.raises(SettingInvalid, match="others may read"):
        signing_key.load_or_create(tmp_path)
    file.chmod(0o600)
    file.write_text("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    with pytest.raises(SettingInvalid, match="is not an Ed25519 private key"):
        signing_key.load_or_create(tmp_path)
