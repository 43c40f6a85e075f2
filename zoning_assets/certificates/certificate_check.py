"""Check a certificate with nothing but the public key of the installation that signed it: no database, no network."""

from dataclasses import dataclass

import msgspec
import orjson

from zoning_assets.certificates import merkle_tree, signing_key
from zoning_assets.certificates.certificate_format import (
    FORMAT,
    HarvestEvidence,
    PageEvidence,
    SignedCertificate,
    canonical,
)
from zoning_assets.errors import CertificateRefused

_WHERE = "--certificate"
_DO = "do not rely on it; get the certificate and the key again from the installation that signed"


@dataclass(frozen=True)
class CheckedCertificate:
    """What a sound certificate states.

    `state`: of the change when the certificate was issued; `event`, `review` (narrower than the tolerance) or
    `retracted` (undone by a rollback). `pages`: number of raw pages whose paths lead to the root of their harvest.
    """

    change: str
    jurisdiction: str
    kind: str
    state: str
    old: str | None
    new: str | None
    issued: str
    signed_by: str
    pages: int


def check(body: bytes, pem: bytes) -> CheckedCertificate:
    """Check the form, the signature and the Merkle paths of a certificate.

    Args:
        body: the file as `zoning certificate` wrote it.
        pem: the public key as `zoning certificate --public-key` prints it.

    Raises:
        CertificateRefused: one byte of the certificate or of the key differs, or they do not belong together.
    """
    key = signing_key.read_public(pem)
    signed, message = _read(body)
    if signed.signed_by != signing_key.fingerprint(key):
        raise _refused("it was signed with another key, or it was changed")
    if not signing_key.is_signed(key, bytes.fromhex(signed.signature), message):
        raise _refused("its signature does not match: it was changed")
    certificate = signed.certificate
    harvests = [*certificate.before.harvests, *certificate.after.harvests]
    for harvest in harvests:
        for page in harvest.pages:
            if not _leads_to_root(page, harvest):
                raise _refused(f"page {page.sha256[:12]} is not part of its harvest {harvest.layer_harvest[:12]}")
    about = {name: certificate.change.get(name) for name in ("kind", "state", "old", "new", "jurisdiction")}
    pages = sum(len(each.pages) for each in harvests)
    return CheckedCertificate(
        str(certificate.change.get("id")), str(about["jurisdiction"]), str(about["kind"]), str(about["state"]),
        about["old"], about["new"], certificate.issued, signed.signed_by, pages,
    )  # fmt: skip


def _read(body: bytes) -> tuple[SignedCertificate, bytes]:
    """The certificate, and the message that is signed: the canonical JSON of its content."""
    try:
        document = orjson.loads(body)
        signed = msgspec.convert(document, SignedCertificate)
        is_canonical = canonical(document) + b"\n" == body
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, msgspec.ValidationError, RecursionError) as error:
        raise _refused("it is not a certificate, or it was changed") from error
    if not is_canonical:
        raise _refused("it is not in canonical form: it was changed, or another program has formatted it")
    if signed.certificate.format != FORMAT:
        raise _refused(f"its format is not {FORMAT}")
    return signed, canonical(document["certificate"])


def _leads_to_root(page: PageEvidence, harvest: HarvestEvidence) -> bool:
    path = [bytes.fromhex(each) for each in page.path]
    found = merkle_tree.root_from_path(bytes.fromhex(page.sha256), page.index, harvest.leaves, path)
    return found == bytes.fromhex(harvest.root)


def _refused(what: str) -> CertificateRefused:
    return CertificateRefused(what, where=_WHERE, do=_DO)
