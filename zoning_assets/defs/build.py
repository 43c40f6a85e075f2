"""All of it put together: the assets over all known jurisdictions, and how they run."""

import warnings
from typing import TYPE_CHECKING

import dagster as dg

from zoning_assets import jurisdictions
from zoning_assets.defs.assets import parcels_by_tile, whole_assets
from zoning_assets.defs.jobs import JOBS
from zoning_assets.defs.resources import Zoning
from zoning_assets.defs.run_requests import asset_jobs
from zoning_assets.defs.sensors.all_sensors import sensors
from zoning_assets.settings import Settings

if TYPE_CHECKING:
    from zoning_assets.http import Kept


def definitions(settings: Settings, kept: "Kept | None" = None) -> dg.Definitions:
    """The definitions under these settings. `kept`: what portals answered to the command that starts runs with them.

    Jurisdiction files are listed here and read when they are needed, so that one typo does not take the others away; a
    run of that jurisdiction says what is wrong with its file.
    """
    # Dagster 1.13 warns of a parameter of its own whenever a sensor meets resources.
    warnings.filterwarnings("ignore", "Parameter `owners` of initializer", dg.BetaWarning)
    # One process a run: the pipeline has its own pool, and a process a step would cost seconds (DESIGN).
    jobs = asset_jobs()
    return dg.Definitions(
        assets=[parcels_by_tile, *whole_assets(jurisdictions.files(settings.jurisdictions))],
        resources={"zoning": Zoning(), "kept": {} if kept is None else kept},
        executor=dg.in_process_executor,
        jobs=[*JOBS, *jobs],
        sensors=sensors(jobs),
    )
