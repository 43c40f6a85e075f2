"""The command line: `./zoning WORD` in a clone, `zoning WORD` when installed.

What belongs here: words, progress, tables for people, JSON for programs, exit statuses. What does not: doing the work.
A command's module is imported when the command is called (commands.py). Inside it, what only a part of the command
needs is imported there: Dagster takes a second, pandas and GDAL take half of one.
"""

import gc
import sys

from zoning_assets.cli import signals

_STOPPED = 130
#: New objects after which Python looks for garbage in cycles; its own default is 700. What imports make stays, and
#: looking through it again and again took a fifth of the time that `import dagster` takes.
_OBJECTS_BETWEEN_COLLECTIONS = 20_000


def main() -> None:
    """Run the command line. A signal is one line from the first moment on: importing the commands takes a moment."""
    gc.set_threshold(_OBJECTS_BETWEEN_COLLECTIONS)
    with signals.watched():
        try:
            signals.listen()
            from zoning_assets.cli.app import main as run  # noqa: PLC0415

            run()
        except KeyboardInterrupt:  # before or after what `run` answers itself
            signals.end_if_one_came()
            sys.stderr.write("zoning: stopped before anything was begun\n")
            sys.exit(_STOPPED)
