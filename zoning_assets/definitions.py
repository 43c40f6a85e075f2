"""What Dagster loads."""

import os

from zoning_assets import logs
from zoning_assets.orchestration.build import definitions
from zoning_assets.settings import Settings

logs.for_machines()
defs = definitions(Settings.of(os.environ))
