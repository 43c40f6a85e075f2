"""Profiles of releases: those of earlier releases, which show what is usual, and those of held releases.

The profile of a held release contains its measures, the findings of the checks, and the harvests to be published.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import shapely
from psycopg.types.json import Jsonb

from zoning_assets.errors import NothingWaits
from zoning_assets.model import PARCELS
from zoning_assets.storage.postgis.database import Connection, dicts
from zoning_assets.storage.postgis.publish import last_edition, newest_rollback
from zoning_assets.storage.postgis.records import audit_records
from zoning_assets.storage.postgis.records.status_queries import reasons
from zoning_assets.storage.postgis.sessions import session
from zoning_assets.storage.postgis.sql_queries import named
from zoning_assets.transform.quality.release_checks import CheckFinding
from zoning_assets.transform.quality.release_profile import (
    COMPARED,
    MOST_MOVES,
    CodeTotals,
    ReleaseProfile,
    code_digest,
    profile_published,
)

PASSED, HELD, ACCEPTED, DISCARDED = "passed", "held", "accepted", "discarded"

#: Tile ("": the whole jurisdiction) -> content hash and harvest of what would be published there.
Contents = Mapping[str, Sequence[str]]


def baseline(url: str, jurisdiction: str, feed: str) -> tuple[bool, int]:
    """Whether a feed was ever published completely, and the batch of its newest rollback (0: none).

    Raises:
        DatabaseUnavailable, StoreError: see errors.py.
    """
    with opened(url, jurisdiction, feed) as profiles:
        rollback = newest_rollback(profiles.connection, {"jurisdiction": jurisdiction, "feed": feed})
        return profiles.has_complete_release(), rollback


def differing(url: str, jurisdiction: str, keys: Sequence[str], hashes: Sequence[str]) -> tuple[int, pd.DataFrame]:
    """How many of some parcels are published, and those whose content hash differs.

    The table has `key`, the columns COMPARED, and `geometry` (target CRS) of at most MOST_MOVES rows, else None.
    """
    values = {"jurisdiction": jurisdiction, "keys": keys, "hashes": hashes, "shapes": MOST_MOVES}
    with session(url) as connection:
        found = connection.execute(named("release_profiles")["differing"], values).fetchall()
    rows = [row for _, *row in found if row[0] is not None]
    table = pd.DataFrame(rows, columns=["key", *COMPARED, "geometry"], dtype=object)
    return found[0][0], table.assign(geometry=pd.Series(shapely.from_wkb(table["geometry"]), dtype=object))


@dataclass(frozen=True)
class ReleaseProfiles:
    """The profiles of a feed, read and written in one transaction."""

    connection: Connection
    jurisdiction: str
    feed: str

    def has_complete_release(self) -> bool:
        """Whether the feed was ever published completely."""
        return bool(self._rows("has_complete_release")[0][0])

    def published(self, tiles: Collection[str] | None) -> ReleaseProfile:
        """The profile of the published rows of some tiles, or (None) of all: `rows`, `m2` and `codes`."""
        query = named("release_profiles")[f"published_{self.feed}"]
        found = self._streamed(query, tiles=None if tiles is None else list(tiles))
        return profile_published((code, CodeTotals(*ground)) for code, *ground in found)

    def published_edition(self, tile: str) -> tuple[str, str] | None:
        """The harvest and the rules of what is published in a tile; None: nothing is."""
        return last_edition(self.connection, {"jurisdiction": self.jurisdiction, "feed": self.feed, "tile": tile})

    def rows(self) -> int:
        """The number of published parcels; 0 for the map, where it is not used."""
        return int(self._rows("count")[0][0]) if self.feed == PARCELS else 0

    def known_codes(self, digests: Collection[str]) -> tuple[frozenset[str], bool]:
        """Which of some codes (as release_profile.code_digest) were ever published, and whether any code was."""
        found, has_codes = set[str](), False
        for local, _ in self._streamed(named("parcel_zoning")["codes"]):
            has_codes = True
            found.update({code_digest(local)}.intersection(digests))
        return frozenset(found), has_codes

    def past_measures(self) -> list[dict[str, float]]:
        """The measures of earlier complete releases, newest first."""
        return [measured for (measured,) in self._rows("past")]

    def fields(self) -> tuple[str, ...]:
        """The columns of the layer in the last complete release."""
        return tuple(name for (names,) in self._rows("fields") for name in names)

    def last_findings(self) -> tuple[CheckFinding, ...]:
        """The findings of the last published release; if a person accepted it, no finding is tripped."""
        found = self._rows("last_findings")
        state, findings = found[0] if found else ("", [])
        kept = [CheckFinding(**each) for each in findings]
        return tuple(replace(each, tripped=False) if state == ACCEPTED else each for each in kept)

    def is_accepted(self, contents: Contents) -> bool:
        """Whether a person accepted exactly these rows, and none of the places was checked with others since."""
        found = self._rows("newest_of", tiles=list(contents))
        state, known = found[0] if found else ("", {})
        return state == ACCEPTED and all(known.get(place, [""])[0] == each[0] for place, each in contents.items())

    def newest(self) -> tuple[str, Contents]:
        """State and contents of the newest profile; ("", {}): there is none."""
        found = self._rows("newest")
        return (found[0][0], found[0][1]) if found else ("", {})

    def store(  # noqa: PLR0913 - the columns of a profile
        self,
        state: str,
        contents: Contents,
        measured: Mapping[str, float],
        findings: Sequence[Mapping[str, Any]],
        fields: Sequence[str],
        *,
        whole: bool,
    ) -> None:
        """Store the profile of a checked release; a repeated one is stored once. If another process stores one of the
        feed, wait for the end of its transaction."""
        self._rows("lock")
        if self.newest() == (state, dict(contents)):
            return
        values = {"jurisdiction": self.jurisdiction, "feed": self.feed, "state": state, "whole": whole}
        self.connection.execute(named("release_profiles")["supersede"], {**values, "tiles": list(contents)})
        documents = {"contents": dict(contents), "measured": dict(measured), "findings": list(findings)}
        self.connection.execute(
            named("release_profiles")["insert_profile"],
            {**values, "fields": list(fields), **{name: Jsonb(each) for name, each in documents.items()}},
        )

    def _streamed(self, query: bytes, **values: Any) -> Iterator[Any]:
        """The rows of a query, read in chunks: a malformed layer may have as many codes as rows."""
        known = {"jurisdiction": self.jurisdiction, "feed": self.feed}
        with self.connection.cursor("profiles") as cursor:
            yield from cursor.execute(query, {**known, **values})

    def _rows(self, query: str, **values: Any) -> list[Any]:
        known = {"jurisdiction": self.jurisdiction, "feed": self.feed}
        return self.connection.execute(named("release_profiles")[query], {**known, **values}).fetchall()


@contextmanager
def opened(url: str, jurisdiction: str, feed: str) -> Iterator[ReleaseProfiles]:
    """Open the profiles of a feed for one transaction.

    Raises:
        DatabaseUnavailable, StoreError: nothing was stored.
    """
    with session(url) as connection:
        yield ReleaseProfiles(connection, jurisdiction, feed)


def decide(  # noqa: PLR0913 - what, how, who, why
    url: str, jurisdiction: str, feed: str, state: str, *, actor: str, reason: str
) -> list[str]:
    """A person accepts or discards the held release. The audit stores its measures.

    Returns:
        Why it was held, in sentences.

    Raises:
        NothingWaits: nothing is held.
    """
    action = {ACCEPTED: "accept", DISCARDED: "discard"}[state]
    with session(url) as connection:
        connection.execute(named("holds")["lock"])
        values = {"jurisdiction": jurisdiction, "feed": feed, "state": state}
        found = dicts(connection, named("release_profiles")["decide"], values)
        if not found:
            raise NothingWaits("no harvest is held", where=f"{jurisdiction} {feed}", do="look at `zoning status`")
        (profile,) = found
        why = reasons(profile["findings"])
        subject = {"jurisdiction": jurisdiction, "feed": feed, "survey": profile["id"], "why": why}
        audit_records.append(connection, actor, action, {**subject, "measured": profile["measured"]}, reason)
        return why
