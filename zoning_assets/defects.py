"""An error that nobody foresaw, as one line for the operator."""

import logging
import traceback
from pathlib import Path

from zoning_assets.errors import Defect, ZoningError, machine_error

_log = logging.getLogger(__name__)


def unexpected_error(where: str, error: Exception, stands: str = "nothing was published") -> ZoningError:
    """An unforeseen error as a line: what this machine refused, else a fault of ours, whose stack goes to the log.

    `stands`: what of the work stands all the same.
    """
    if known := machine_error(error, where):
        return known
    _log.error("%s: unforeseen", where, exc_info=error)
    at = traceback.extract_tb(error.__traceback__)[-1:]
    here = f" (at {Path(at[0].filename).name}:{at[0].lineno})" if at else ""
    return Defect(f"a fault of this program{here}", where=where, do=f"report it with the log; {stands}")
