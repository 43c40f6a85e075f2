"""One signal ends a command: SIGINT (Ctrl-C), SIGTERM, or SIGHUP of a terminal that was closed.

The main thread is interrupted by KeyboardInterrupt, and work in other threads is asked to stop (graceful_stop.py). What
has not ended then is cut off: a killed run loses nothing, as publishing is one transaction a place. A thread reads the
signals from a pipe that Python's own C code writes to, so that no call of a library and no handler of Dagster's holds
them up.

Few imports, as a signal may come while the commands are imported, which takes a second.
"""

import contextlib
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

#: A command that has not ended this long after the signal is cut off, seconds.
CUT_OFF_S = 8.0
#: A stopped command's line, and the `error` of its document.
STOPPED = "stopped; the same command goes on from here"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Its last words may take so long, and so may clearing up behind it, seconds.
_LAST_S = 0.8
_SHOW_CURSOR = "\x1b[?25h"


@dataclass
class _Command:
    """What is known of the command that this process runs."""

    signal: int | None = None
    interrupted: bool = False  # the main thread was
    answered: bool = False  # its document, or a part of it, stands on stdout
    ending: threading.Lock = field(default_factory=threading.Lock)  # whoever has it ends the process


_commands = [_Command()]


def came() -> bool:
    """Whether a signal asked this command to end."""
    return _commands[-1].signal is not None


def exit_status() -> int:
    """The exit status of a command that a signal ended: 128 and the signal's number."""
    return 128 + (_commands[-1].signal or signal.SIGINT)


def answered() -> None:
    """To be called before a command's document is written: a stop does not write another one behind it."""
    _commands[-1].answered = True


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Let one signal end what the block does; where none came, the handlers of before are put back.

    Signals wait until `listen`, as an interrupt in here could not be answered; `./zoning` has them wait before, too.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _commands.append(_Command())
    signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before_fd = signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    before = {number: signal.signal(number, _interrupt) for number in _SIGNALS if not _kept_ignored(number)}
    threading.Thread(target=_watch, args=(reader,), name="zoning-signals", daemon=True).start()
    try:
        yield
    finally:
        if not came():
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before_fd)
            os.close(writer)
            _commands.pop()


def listen() -> None:
    """Take signals from now on; inside the block of `watched`, where KeyboardInterrupt is answered."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _kept_ignored(number: int) -> bool:
    """Whether `nohup` asked that the terminal's end be ignored. SIGINT, which shells ignore for `&`, stops us all the
    same when somebody sends it."""
    return number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN


def _interrupt(number: int, _frame: object) -> None:
    """Interrupt the main thread, once: what it does to end is not to be interrupted again."""
    command = _commands[-1]
    command.signal = command.signal or number
    if not command.interrupted:
        command.interrupted = True
        raise KeyboardInterrupt


def _watch(reader: int) -> None:
    """Wait for a signal, request a stop, and see to it that the process ends. The writer's end ends the wait."""
    number = _first_of(reader)
    if number is None:
        return
    command = _commands[-1]
    command.signal = command.signal or number
    sys.unraisablehook = threading.excepthook = _silent
    if not command.interrupted:  # the kernel may have woken another thread than the main one
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    if stop := _of_stopping("STOP"):
        stop.request()
    threading.Event().wait(CUT_OFF_S)
    _end(command)


def _of_stopping(name: str) -> Any:
    """What graceful_stop.py has under a name; None where the signal came before it was imported."""
    return getattr(sys.modules.get("zoning_assets.graceful_stop"), name, None)


def _silent(_: object) -> None:
    """After a signal, what a thread or a destructor fails with is no news."""


def _first_of(reader: int) -> int | None:
    """The first signal; None at the writer's end. After a signal the pipe stays open, as more may come."""
    while byte := os.read(reader, 1):
        if byte[0] in _SIGNALS:
            return byte[0]
    os.close(reader)
    return None


def end_if_one_came() -> None:
    """Where a signal came, end this process, whatever it looks like from inside; else return."""
    if came():
        _end(_commands[-1])


def _end(command: _Command) -> NoReturn:
    """Say how to go on, end what this process started, and leave without waiting for its threads.

    Nothing here may hold it up: not a pipe that nobody reads, nor a database that is away. Who comes second, when the
    time is over, leaves at once.
    """
    status = exit_status()
    if command.ending.acquire(blocking=False):
        for work, words in ((_tell, (command, status)), (_clear, ())):
            aside = threading.Thread(target=work, args=words, daemon=True)
            aside.start()
            aside.join(_LAST_S)
    os._exit(status)


def _tell(command: _Command, status: int) -> None:
    with contextlib.suppress(OSError, ValueError):
        cursor = _SHOW_CURSOR if sys.stderr.isatty() else ""
        sys.stderr.write(f"{cursor}zoning: {STOPPED}\n")
        sys.stderr.flush()
        if "--json" in sys.argv and not command.answered:
            sys.stdout.write(json.dumps({"error": STOPPED, "exit_status": status}) + "\n")
        sys.stdout.flush()


def _clear() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what threads say of their end is no news
    for pid in _started_by(os.getpid()):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGTERM)
    for call in _of_stopping("CLEANUP_CALLS") or ():
        call()


def _started_by(ours: int) -> list[int]:
    """The processes that this one and its children started, without those that were given a session of their own, as
    PostgreSQL is. Where there is no /proc, children end when they find their parent gone."""
    parents = dict(_parents(os.getsid(ours)))
    found = [ours]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


def _parents(session: int) -> Iterator[tuple[int, int]]:
    """Each process of a session, and its parent."""
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else ():  # noqa: PTH112, PTH208 - few imports
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError), open(f"/proc/{entry}/stat", "rb") as stat:  # noqa: PTH123
                _, parent, _, of = stat.read().rpartition(b")")[2].split()[:4]
                if int(of) == session:
                    yield int(entry), int(parent)
