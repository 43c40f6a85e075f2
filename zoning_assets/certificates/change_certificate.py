"""Make the certificate of a change: both published states, and the raw pages that they come from.

A published row names its batch, the batch its harvest, the harvest its pages by their SHA-256. The pages of a layer's
harvest, sorted by name, are the leaves of a Merkle tree: so a certificate needs only the pages that have the rows.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import orjson
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from zoning_assets.certificates import merkle_tree
from zoning_assets.certificates.certificate_format import (
    FORMAT,
    Certificate,
    HarvestEvidence,
    PageEvidence,
    StateEvidence,
    canonical,
)
from zoning_assets.certificates.signing_key import fingerprint
from zoning_assets.errors import HarvestMissing
from zoning_assets.harvest import Harvest
from zoning_assets.model import PARCELS, ZONING, Place
from zoning_assets.storage.object_store import raw_harvests
from zoning_assets.storage.object_store.object_store import Objects
from zoning_assets.storage.postgis.records.certificate_queries import published_states

Row = Mapping[str, Any]


class _Source(NamedTuple):
    """Columns of a published row that name its source; they become the harvests of the state."""

    tile: str | None
    harvest: str | None
    rules: str | None


@dataclass(frozen=True)
class CertificateIssuer:
    """Makes and signs certificates.

    Attributes:
        url: the database.
        objects: the object store, which has the harvests.
        key: the key of this installation.
        program: name and version of this program.
    """

    url: str
    objects: Objects
    key: Ed25519PrivateKey
    program: str

    def issue(self, change: Row, now: datetime) -> bytes:
        """The signed certificate of a change, as a file.

        Args:
            change: of the feed, see change_records.find_one.
            now: the time of issue.

        Raises:
            HarvestMissing: a harvest that it needs is no longer stored.
            DatabaseUnavailable, StoreError: see errors.py.
        """
        batches = change["evidence"]["batches"]
        before, after = (
            self._state(change, change[value], batches[f"parcels_{side}"], batches[f"zoning_{side}"])
            for value, side in (("old", "from"), ("new", "to"))
        )
        rules = str(change["evidence"]["rules"])
        certificate = Certificate(FORMAT, now.isoformat(), self.program, dict(change), rules, before, after)
        plain = _plain(certificate)
        signed = {
            "certificate": plain,
            "signed_by": fingerprint(self.key.public_key()),
            "signature": self.key.sign(canonical(plain)).hex(),
        }
        return canonical(signed) + b"\n"

    def _state(self, change: Row, value: str | None, parcels_batch: int, zoning_batch: int) -> StateEvidence:
        """The state of the changed parcels and districts at two batches."""
        states = published_states(self.url, change, parcels_batch, zoning_batch)
        harvests = [
            self._harvest(change["jurisdiction"], feed, source, [row["batch"] for row in rows])
            for feed in (PARCELS, ZONING)
            for source, rows in _by_source(states[feed])
        ]
        return StateEvidence(value, _without_source(states[PARCELS]), _without_source(states[ZONING]), harvests)

    def _harvest(self, jurisdiction: str, feed: str, source: _Source, batches: Sequence[int]) -> HarvestEvidence:
        if source.harvest is None:
            what = "the batch that published a state of this change is gone"
            raise HarvestMissing(what, where=jurisdiction, do="no certificate can be issued for it")
        harvest = raw_harvests.of(self.objects, Place(jurisdiction, source.tile), feed, source.harvest)
        layer = raw_harvests.of(self.objects, Place(jurisdiction), feed, harvest.of) if harvest.of else harvest
        leaves = leaves_of(layer)
        return HarvestEvidence(
            feed=feed, tile=source.tile, batches=sorted(set(batches)), harvest=source.harvest,
            rules=str(source.rules), layer_harvest=layer.id, leaves=len(leaves), root=merkle_tree.root(leaves).hex(),
            proof=dict(layer.proof), pages=list(_pages(harvest, leaves)),
        )  # fmt: skip


def leaves_of(layer: Harvest) -> list[bytes]:
    """The leaves of the tree of a layer's harvest: the SHA-256 of its pages, in the order in which its id has them."""
    return [bytes.fromhex(name) for _, name in sorted((page.kind, page.name) for page in layer.pages)]


def _pages(harvest: Harvest, leaves: list[bytes]) -> Iterator[PageEvidence]:
    """Yield the pages that have rows of a harvest, each with its path."""
    index = {leaf: number for number, leaf in enumerate(leaves)}
    for page in {page.name: page for page in harvest.pages}.values():
        number = index[bytes.fromhex(page.name)]
        path = [each.hex() for each in merkle_tree.path(leaves, number)]
        yield PageEvidence(page.name, page.rows, page.size, number, path)


def _without_source(rows: Sequence[Row]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name not in _Source._fields} for row in rows]


def _by_source(rows: Sequence[Row]) -> list[tuple[_Source, list[Row]]]:
    """Group published rows by the harvest and the rules that they come from."""
    groups: dict[_Source, list[Row]] = {}
    for row in rows:
        groups.setdefault(_Source(*(row[name] for name in _Source._fields)), []).append(row)
    return sorted(groups.items(), key=lambda group: str(group[0]))


def _plain(certificate: Certificate) -> Any:
    """A certificate as plain values: times and dates are text, as JSON has them."""
    return orjson.loads(orjson.dumps(msgspec.to_builtins(certificate, builtin_types=(datetime,)), default=str))
