"""From a served input to PostGIS by the whole pipeline, and the rows that came of it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from tests.conftest import read_toml, rows, sync
from tests.integration.cases.serving import CasePortal, toml
from zoning_assets.errors import ZoningError
from zoning_assets.http import Http
from zoning_assets.model import Outcome
from zoning_assets.pipeline.pipeline import Pipeline

#: Asks again at once, so that no test waits.
_PROMPT = partial(Http, jitter=lambda: 0.0)


@dataclass(frozen=True)
class Published:
    """What a sync came to."""

    outcomes: Sequence[Outcome]
    database: str
    requests: int

    @property
    def errors(self) -> list[ZoningError]:
        return [each.error for each in self.outcomes if each.error]

    def parcels(self, columns: str = "parcel_id, address, zoning_code") -> list[tuple]:
        """The parcels, by id."""
        return rows(self.database, f"SELECT {columns} FROM zoning.parcel ORDER BY parcel_id")

    @property
    def keys(self) -> list[str]:
        return [key for (key,) in self.parcels("parcel_id")]

    def rejections(self, columns: str = "reason") -> list[tuple]:
        return rows(self.database, f"SELECT {columns} FROM zoning.rejection ORDER BY 1")


def published(pipeline: Pipeline, portal: CasePortal, url: str, folder: Path, **feed: object) -> Published:
    """A parcels feed at an address of the portal, synchronised; errors of the places are in the outcomes."""
    before = len(portal.asked)
    county = read_toml(folder / "jurisdictions", toml(url, **feed), str(feed.get("name", "us-xx-case")))
    outcomes = sync(replace(pipeline, http=_PROMPT), county)
    return Published(outcomes, pipeline.database, len(portal.asked) - before)
