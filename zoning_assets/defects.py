"""Turn an unexpected exception into one line for the operator.

This is not in errors.py because it writes to the log, and the import contracts keep errors.py free of logging: the pure
modules import it.
"""

import logging
import traceback
from pathlib import Path

from zoning_assets.errors import Defect, ZoningError, machine_error

_log = logging.getLogger(__name__)


def unexpected_error(where: str, error: Exception, kept: str = "nothing was published") -> ZoningError:
    """Return a MachineRefused error if this machine caused the exception, else a Defect. Log the stack of a defect.

    Args:
        where: what the program was working on.
        error: the exception.
        kept: what part of the work stays valid, for the message.
    """
    if known := machine_error(error, where):
        return known
    _log.error("%s: unexpected error", where, exc_info=error)
    at = traceback.extract_tb(error.__traceback__)[-1:]
    here = f" (at {Path(at[0].filename).name}:{at[0].lineno})" if at else ""
    return Defect(f"a fault of this program{here}", where=where, do=f"report it with the log; {kept}")
