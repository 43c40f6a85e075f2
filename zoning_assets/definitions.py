"""The code location that Dagster loads."""

import os

from zoning_assets import log_config
from zoning_assets.defs.build import definitions
from zoning_assets.settings import Settings

log_config.log_as_json()
defs = definitions(Settings.of(os.environ))
