"""What releases looked like before they were published: the past that says what is usual, and what waits for a person.

A release that is held has its evidence here: what was measured, what spoke against it, and the harvests that wait.
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
from zoning_assets.storage.postgis.database import Connection, connect, dicts
from zoning_assets.storage.postgis.publish import newest_undo
from zoning_assets.storage.postgis.records import hold_records
from zoning_assets.storage.postgis.records.status_queries import reasons
from zoning_assets.storage.postgis.sessions import said, session
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

#: Tile ("" where there is none) -> content hash and harvest of what would be published there.
Contents = Mapping[str, Sequence[str]]


def begun(url: str, jurisdiction: str, feed: str) -> tuple[bool, int]:
    """Whether a feed was ever published whole, and its newest rollback.

    Raises:
        DatabaseUnavailable, StoreError: see errors.py.
    """
    with opened(url, jurisdiction, feed) as desk:
        return desk.begun(), newest_undo(desk.connection, {"jurisdiction": jurisdiction, "feed": feed})


def differing(url: str, jurisdiction: str, keys: Sequence[str], hashes: Sequence[str]) -> tuple[int, pd.DataFrame]:
    """How many of these parcels stand, and those that are not the same: `key`, COMPARED, `geometry` of some."""
    values = {"jurisdiction": jurisdiction, "keys": keys, "hashes": hashes, "shapes": MOST_MOVES}
    with said(url), session(url) as connection:
        row = connection.execute(named("surveys")["kept"], values).fetchone()
        found = connection.execute(named("surveys")["differing"], values).fetchall()
    table = pd.DataFrame(found, columns=["key", *COMPARED, "geometry"], dtype=object)
    return row[0] if row else 0, table.assign(geometry=pd.Series(shapely.from_wkb(table["geometry"]), dtype=object))


@dataclass(frozen=True)
class Surveys:
    """The surveys of a jurisdiction's feed, read and written in one transaction."""

    connection: Connection
    jurisdiction: str
    feed: str

    def begun(self) -> bool:
        """Whether the feed was ever published whole."""
        return bool(self._rows("begun")[0][0])

    def standing(self, tiles: Collection[str] | None) -> ReleaseProfile:
        """What stands, in some tiles, or (None) in all: `rows`, `m2` and `codes`."""
        found = self._streamed(named("surveys")[f"standing_{self.feed}"], tiles=None if tiles is None else list(tiles))
        return profile_published((code, CodeTotals(*ground)) for code, *ground in found)

    def rows(self) -> int:
        """How many parcels stand; of a map it does not matter."""
        return int(self._rows("count")[0][0]) if self.feed == PARCELS else 0

    def seen(self, marks: Collection[str]) -> tuple[frozenset[str], bool]:
        """Which of some codes (release_profile.code_digest) were ever seen, and whether any code was."""
        found, has_codes = set[str](), False
        for local, _ in self._streamed(named("shares")["codes"]):
            has_codes = True
            found.update({code_digest(local)}.intersection(marks))
        return frozenset(found), has_codes

    def past(self) -> list[dict[str, float]]:
        """What whole releases measured, the newest first."""
        return [measured for (measured,) in self._rows("past")]

    def fields(self) -> tuple[str, ...]:
        """The layer's columns as they were last."""
        return tuple(name for (names,) in self._rows("fields") for name in names)

    def believed(self) -> tuple[CheckFinding, ...]:
        """The findings on what was published last; what a person accepted speaks against it no longer."""
        found = self._rows("believed")
        state, findings = found[0] if found else ("", [])
        kept = [CheckFinding(**each) for each in findings]
        return tuple(replace(each, tripped=False) if state == ACCEPTED else each for each in kept)

    def last(self) -> tuple[str, Contents]:
        """The newest survey's state, and what it is of."""
        found = self._rows("last")
        return (found[0][0], found[0][1]) if found else ("", {})

    def note(  # noqa: PLR0913 - a survey has as many sides
        self,
        state: str,
        contents: Contents,
        measured: Mapping[str, float],
        findings: Sequence[Mapping[str, Any]],
        fields: Sequence[str],
        *,
        whole: bool,
    ) -> None:
        """A release that was judged; the same one again is not noted twice."""
        if self.last() == (state, dict(contents)):
            return
        values = {"jurisdiction": self.jurisdiction, "feed": self.feed, "state": state, "whole": whole}
        self.connection.execute(named("surveys")["supersede"], {**values, "tiles": list(contents)})
        documents = {"contents": dict(contents), "measured": dict(measured), "findings": list(findings)}
        self.connection.execute(
            named("surveys")["note"],
            {**values, "fields": list(fields), **{name: Jsonb(each) for name, each in documents.items()}},
        )

    def _streamed(self, query: bytes, **values: Any) -> Iterator[Any]:
        """Rows as they come from the database, a few at a time: a hostile layer has as many codes as rows."""
        known = {"jurisdiction": self.jurisdiction, "feed": self.feed}
        with self.connection.cursor("surveys") as cursor:
            yield from cursor.execute(query, {**known, **values})

    def _rows(self, query: str, **values: Any) -> list[Any]:
        known = {"jurisdiction": self.jurisdiction, "feed": self.feed}
        return self.connection.execute(named("surveys")[query], {**known, **values}).fetchall()


@contextmanager
def opened(url: str, jurisdiction: str, feed: str) -> Iterator[Surveys]:
    """The surveys of a jurisdiction's feed, for one transaction.

    Raises:
        DatabaseUnavailable, StoreError: nothing was noted.
    """
    with said(url), connect(url) as connection:
        yield Surveys(connection, jurisdiction, feed)


def decide(  # noqa: PLR0913 - what, how, who, why
    url: str, jurisdiction: str, feed: str, state: str, *, actor: str, reason: str
) -> list[str]:
    """A person accepts or discards what is held; what spoke against it, in sentences. The audit keeps the evidence.

    Raises:
        NothingWaits: nothing is held.
    """
    action = {ACCEPTED: "accept", DISCARDED: "discard"}[state]
    with said(url), connect(url) as connection:
        connection.execute(named("holds")["lock"])
        values = {"jurisdiction": jurisdiction, "feed": feed, "state": state}
        found = dicts(connection, named("surveys")["decide"], values)
        if not found:
            raise NothingWaits("no harvest is held", where=f"{jurisdiction} {feed}", do="look at `zoning status`")
        (survey,) = found
        why = reasons(survey["findings"])
        subject = {"jurisdiction": jurisdiction, "feed": feed, "survey": survey["id"], "why": why}
        hold_records.note(connection, actor, action, {**subject, "measured": survey["measured"]}, reason)
        return why
