"""Builds the Dagster definitions: assets for all known jurisdictions, jobs, sensors and resources."""

import warnings
from typing import TYPE_CHECKING

import dagster as dg

from zoning_assets import jurisdictions
from zoning_assets.defs.assets import parcels_by_tile, whole_assets
from zoning_assets.defs.jobs import JOBS
from zoning_assets.defs.minutes_job import read_minutes
from zoning_assets.defs.resources import Zoning
from zoning_assets.defs.run_requests import asset_jobs
from zoning_assets.defs.sensors.all_sensors import sensors
from zoning_assets.settings import Settings

if TYPE_CHECKING:
    from zoning_assets.http import ResponseCaches


def definitions(
    settings: Settings, kept: "ResponseCaches | None" = None, zoning: Zoning | None = None
) -> dg.Definitions:
    """Return the definitions.

    Args:
        settings: where the jurisdiction files are.
        kept: portal answers that the calling command has already received.
        zoning: the resource of assets and sensors; None: the real one. A simulation has its own.

    Jurisdiction files are only listed here. Each file is read when it is needed, so one invalid file does not affect
    other jurisdictions. A run of that jurisdiction reports what is wrong with its file.
    """
    # Dagster 1.13 warns about its own parameter when a sensor uses resources.
    warnings.filterwarnings("ignore", "Parameter `owners` of initializer", dg.BetaWarning)
    # One process per run: the pipeline has its own worker pool, and a process per step would add seconds.
    jobs = asset_jobs()
    return dg.Definitions(
        assets=[parcels_by_tile, *whole_assets(jurisdictions.files(settings.jurisdictions))],
        resources={"zoning": zoning or Zoning(), "kept": {} if kept is None else kept},
        executor=dg.in_process_executor,
        jobs=[*JOBS, read_minutes, *jobs],
        sensors=sensors(jobs),
    )
