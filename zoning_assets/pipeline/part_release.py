"""What a release of some tiles is compared with: what the same tiles had, and the codes of the whole layer.

The usual values of the release checks are those of complete releases. Rows without a key, or with a new zoning code,
may be frequent in a few tiles, although they are rare in the layer.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pyarrow as pa

from zoning_assets.model import VALIDATED, Place
from zoning_assets.pipeline.workers.work_item import WorkItem
from zoning_assets.storage.object_store import raw_harvests
from zoning_assets.storage.postgis.records.release_profiles import ReleaseProfiles
from zoning_assets.transform.quality.release_profile import CODE, CodeTotals, ReleaseProfile, code_digest, limit_codes


def earlier_profile(stored: ReleaseProfiles, items: Iterable[WorkItem]) -> ReleaseProfile | None:
    """The profile of what is published in some tiles. A tile whose validated table is not stored any more adds
    nothing. None: nothing is known, as after a rollback."""
    found = ReleaseProfile()
    for item in items:
        edition = stored.published_edition(item.place.tile or "")
        if edition:
            table = replace(item.table(VALIDATED), harvest=edition[0], rules=edition[1])
            summary = table.find_summary(item.objects)
            found += ReleaseProfile.of(summary["survey"]) if summary else ReleaseProfile()
    return found if found.fetched else None


def layer_codes(item: WorkItem) -> ReleaseProfile | None:
    """The codes of all rows of the layer that a tile was cut from: only `codes`, with the number of rows.

    None: not known, because the layer was harvested again, the settings have changed since, or the codes are in a
    joined table.
    """
    objects, jurisdiction, feed = item.objects, item.jurisdiction.id, item.feed.name
    cover = raw_harvests.find_cover(objects, jurisdiction, feed)
    if cover is None or cover.harvest != item.state or item.join:
        return None
    pages = raw_harvests.of(objects, Place(jurisdiction), feed, cover.harvest).pages
    rows = raw_harvests.get_rows(objects, jurisdiction, feed, cover.harvest, cover.cut)
    order, counts = np.argsort(rows.page, kind="stable"), Counter[str]()
    for at in np.split(order, np.flatnonzero(np.diff(rows.page[order])) + 1):
        page = pages[int(rows.page[at[0]])] if len(at) else None
        codes = item.pages.find_column(objects, page.name, CODE[feed]) if page else None
        if codes is None:
            return None
        counts.update(code_digest(code or "") for code in codes.take(pa.array(rows.row[at])).to_pylist())
    return ReleaseProfile(
        codes=limit_codes({code: CodeTotals(n, 0.0, 0.0, 0.0, 0.0, 0.0) for code, n in counts.items()})
    )
