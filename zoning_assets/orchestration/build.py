"""All of it put together: the assets over all known jurisdictions, and how they run."""

import dagster as dg

from zoning_assets import jurisdictions
from zoning_assets.orchestration.assets import parcels_by_tile, whole_assets
from zoning_assets.orchestration.jobs import JOBS
from zoning_assets.orchestration.resources import Zoning
from zoning_assets.settings import Settings


def definitions(settings: Settings) -> dg.Definitions:
    """The definitions under these settings.

    Jurisdiction files are listed here and read when they are needed, so that one typo does not take the others away; a
    run of that jurisdiction says what is wrong with its file.
    """
    return dg.Definitions(
        assets=[parcels_by_tile, *whole_assets(jurisdictions.files(settings.jurisdictions))],
        jobs=JOBS,
        resources={"zoning": Zoning()},
        # One process a run: the pipeline has its own pool, and a process a step would cost seconds (DESIGN).
        executor=dg.in_process_executor,
    )
