"""The command line: `./zoning WORD` in a clone, `zoning WORD` when installed.

What belongs here: options, progress, tables, JSON documents, exit statuses. What does not: the work itself.
The module of a command is imported when the command is called (commands.py). Slow libraries are imported inside the
functions that need them: Dagster takes a second, pandas and GDAL half a second.
"""

import atexit
import gc
import sys

from zoning_assets.cli import signals

_STOPPED = 130
#: Number of new objects before Python collects cyclic garbage; the default is 700. Imported objects are never freed:
#: scanning them repeatedly took a fifth of the time of `import dagster`.
_OBJECTS_BETWEEN_COLLECTIONS = 20_000


def main() -> None:
    """Run the command line. Signals are handled from the start, because the imports take some time."""
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    # Else the collections at exit look at Dagster's objects, for 0.6 s. Objects in reference cycles are not finalized:
    # files are closed by `with`, and what must run at exit is a weakref.finalize.
    atexit.register(gc.freeze)
    with signals.watched():
        try:
            signals.listen()
            from zoning_assets.cli.app import main as run  # noqa: PLC0415

            run()
        except (KeyboardInterrupt, RuntimeError) as error:  # before or after the part that `run` handles
            signals.end_if_received()
            if isinstance(error, RuntimeError):  # Python 3.11 raises it if a class is interrupted while it is created
                raise
            sys.stderr.write("zoning: stopped before any work started\n")
            sys.exit(_STOPPED)
