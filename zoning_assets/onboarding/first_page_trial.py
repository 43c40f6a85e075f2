"""Test a proposed file with the first page of its first feed. Nothing is published, and no database is used."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

from zoning_assets import jurisdictions
from zoning_assets.http import Http, Tally
from zoning_assets.model import Counts, Jurisdiction, Outcome
from zoning_assets.pipeline.pipeline import Pipeline
from zoning_assets.pipeline.workers.worker_pool import Pool
from zoning_assets.sources import FEED_TYPES
from zoning_assets.storage.object_store.object_store import Objects


async def try_file(
    file: Path,
    folder: Path,
    pool: Pool,
    http: Callable[[], AbstractAsyncContextManager[Http]] = Http,
    tally: Tally | None = None,
) -> dict[str, Any]:
    """Fetch, normalize and validate the first page.

    Args:
        file: the jurisdiction file.
        folder: for the page and its tables.
        pool: the worker processes.
        http: opens the HTTP client.
        tally: counts the requests.

    Returns:
        The number of rows `fetched`, `accepted` and `rejected`, `why` they were rejected, and the `error` if there is
        one.

    Raises:
        JurisdictionInvalid: the file is not valid.
        ZoningError: the page cannot be fetched; see errors.py.
    """
    described = jurisdictions.read(file, FEED_TYPES)
    pipeline = Pipeline(Objects(str(folder / "trial")), "", folder / "scratch", pool, http)
    return _result(described, await pipeline.try_first_page(described, next(iter(described.feeds)), tally))


def _result(described: Jurisdiction, outcome: Outcome) -> dict[str, Any]:
    counts: Counts = outcome.counts
    reasons = {} if outcome.rejections is None else outcome.rejections["reason"].value_counts().to_dict()
    result = {
        "jurisdiction": described.id,
        "fetched": counts.fetched,
        "accepted": counts.accepted,
        "rejected": counts.rejected,
        "why": ", ".join(f"{n} {reason}" for reason, n in sorted(reasons.items())),
    }
    return {**result, "error": str(outcome.error)} if outcome.error else result
