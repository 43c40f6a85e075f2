"""The format of a certificate: one line of canonical JSON, and the parts that a check reads.

Canonical: UTF-8, keys sorted, no space between tokens, one line feed at the end. So one content has one form, and a
change of any byte is found.
"""

from typing import Annotated, Any

import msgspec
import orjson

FORMAT = "zoning-certificate/1"
#: Lower-case hexadecimal of a SHA-256 and of an Ed25519 signature: other spellings of the same bytes are not accepted.
#: (`$` would accept a line feed at the end.)
Sha256 = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")]
Signature = Annotated[str, msgspec.Meta(pattern=r"\A[0-9a-f]{128}\Z")]


class PageEvidence(msgspec.Struct, forbid_unknown_fields=True):
    """A raw page: SHA-256 of its bytes, and the path from it to the root of its harvest."""

    sha256: Sha256
    rows: int
    bytes: int
    index: int  # of the leaf, from 0
    path: list[Sha256]  # from below


class HarvestEvidence(msgspec.Struct, forbid_unknown_fields=True):
    """A harvest whose rows were published as one state.

    `harvest`, `rules`: of the batch, as in zoning.batch. `layer_harvest`: the complete harvest of the layer, whose
    pages are the leaves of the tree. `proof`: what proved it complete.
    """

    feed: str
    tile: str | None
    batches: list[int]
    harvest: str
    rules: str
    layer_harvest: str
    leaves: int
    root: Sha256
    proof: dict[str, Any]
    pages: list[PageEvidence]


class StateEvidence(msgspec.Struct, forbid_unknown_fields=True):
    """One state of the changed parcels and districts, with the harvests that they come from."""

    value: str | None  # `old` or `new` of the change
    parcels: list[dict[str, Any]]
    districts: list[dict[str, Any]]
    harvests: list[HarvestEvidence]


class Certificate(msgspec.Struct, forbid_unknown_fields=True):
    """What is signed. `change`: as in `zoning changes --json`; `rules`: hash of the rules of the comparison."""

    format: str
    issued: str
    program: str
    change: dict[str, Any]
    rules: str
    before: StateEvidence
    after: StateEvidence


class SignedCertificate(msgspec.Struct, forbid_unknown_fields=True):
    """A certificate, the fingerprint of the key, and the signature of the canonical JSON of the certificate."""

    certificate: Certificate
    signed_by: Sha256
    signature: Signature


def canonical(document: Any) -> bytes:
    """The canonical JSON of a document of plain values, without the line feed."""
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
