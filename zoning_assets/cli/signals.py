"""End a command after one signal: SIGINT (Ctrl-C), SIGTERM, or SIGHUP when its terminal closes.

KeyboardInterrupt is raised in the main thread, and work in other threads is asked to stop (graceful_stop.py). If the
process has not ended after `CUT_OFF_S` seconds it is terminated. That loses nothing, because each partition is
published in one transaction. A thread reads the signals from a pipe that Python's C code writes to, so that no library
call and no handler of Dagster can delay them.

This module imports little, because a signal may arrive during the import of the commands, which takes a second.
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

#: Seconds after the signal until a process that has not ended is terminated.
CUT_OFF_S = 8.0
#: The message of a stopped command, on stderr and as `error` of its JSON document.
STOPPED = "stopped; run the same command again to continue"
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
#: Time limit for writing the last message, and for the cleanup, seconds.
_LAST_STEP_S = 0.8
_SHOW_CURSOR = "\x1b[?25h"


@dataclass
class _Command:
    """The state of the command that this process runs."""

    signal: int | None = None
    interrupted: bool = False  # the main thread was interrupted
    document_started: bool = False  # its JSON document, or a part of it, was written
    ending: threading.Lock = field(default_factory=threading.Lock)  # the thread that holds it ends the process


_commands = [_Command()]


def received() -> bool:
    """Whether a signal was received."""
    return _commands[-1].signal is not None


def exit_status() -> int:
    """The exit status after a signal: 128 plus the number of the signal."""
    return 128 + (_commands[-1].signal or signal.SIGINT)


def document_started() -> None:
    """Record that the JSON document of the command is being written, so that a stop does not write a second one."""
    _commands[-1].document_started = True


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """End the block after one signal. If none was received, restore the previous handlers.

    Signals are blocked until `listen` is called, because an interrupt in this function could not be handled. The script
    `./zoning` blocks them before, too.
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
        if not received():
            for number, handler in before.items():
                signal.signal(number, handler)
            signal.set_wakeup_fd(before_fd)
            os.close(writer)
            _commands.pop()


def listen() -> None:
    """Unblock signals. Call it inside the block of `watched`, where KeyboardInterrupt is handled."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)


def _kept_ignored(number: int) -> bool:
    """Whether a signal stays ignored: SIGHUP under `nohup`. SIGINT is always handled, although shells ignore it for
    background processes."""
    return number == signal.SIGHUP and signal.getsignal(number) == signal.SIG_IGN


def _interrupt(number: int, _frame: object) -> None:
    """Interrupt the main thread once. Its cleanup must not be interrupted again."""
    command = _commands[-1]
    command.signal = command.signal or number
    if not command.interrupted:
        command.interrupted = True
        raise KeyboardInterrupt


def _watch(reader: int) -> None:
    """Wait for a signal, request a stop, and terminate the process in the end. Closing the writer ends the wait."""
    number = _first_of(reader)
    if number is None:
        return
    command = _commands[-1]
    command.signal = command.signal or number
    sys.unraisablehook = threading.excepthook = _silent
    if not command.interrupted:  # the kernel may have chosen another thread
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    if stop := _graceful_stop("STOP"):
        stop.request()
    threading.Event().wait(CUT_OFF_S)
    _end(command)


def _graceful_stop(name: str) -> Any:
    """Return an attribute of graceful_stop.py; None: the module is not imported yet."""
    return getattr(sys.modules.get("zoning_assets.graceful_stop"), name, None)


def _silent(_: object) -> None:
    """Ignore exceptions in threads and destructors after a signal."""


def _first_of(reader: int) -> int | None:
    """Return the first signal; None: the writer was closed. After a signal the pipe stays open for further signals."""
    while byte := os.read(reader, 1):
        if byte[0] in _SIGNALS:
            return byte[0]
    os.close(reader)
    return None


def end_if_received() -> None:
    """End this process if a signal was received; else return."""
    if received():
        _end(_commands[-1])


def _end(command: _Command) -> NoReturn:
    """Print how to continue, end child processes, and exit without waiting for threads.

    Nothing may block the exit, such as a full pipe or an unreachable database, so each step has a time limit. A second
    caller exits at once.
    """
    status = exit_status()
    if command.ending.acquire(blocking=False):
        for work, arguments in ((_print_stopped, (command, status)), (_clean_up, ())):
            step = threading.Thread(target=work, args=arguments, daemon=True)
            step.start()
            step.join(_LAST_STEP_S)
    os._exit(status)


def _print_stopped(command: _Command, status: int) -> None:
    with contextlib.suppress(OSError, ValueError):
        cursor = _SHOW_CURSOR if sys.stderr.isatty() else ""
        sys.stderr.write(f"{cursor}zoning: {STOPPED}\n")
        sys.stderr.flush()
        if "--json" in sys.argv and not command.document_started:
            sys.stdout.write(json.dumps({"error": STOPPED, "exit_status": status}) + "\n")
        sys.stdout.flush()


def _clean_up() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # hide messages of ending threads
    for pid in _descendants(os.getpid()):
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGTERM)
    for call in _graceful_stop("CLEANUP_CALLS") or ():
        call()


def _descendants(ours: int) -> list[int]:
    """Return all descendants of a process in its session; PostgreSQL has a session of its own. Without /proc the list
    is empty: child processes end when they notice that their parent is gone."""
    parents = dict(_parents(os.getsid(ours)))
    found = [ours]
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found[1:]


def _parents(session: int) -> Iterator[tuple[int, int]]:
    """Yield each process of a session and its parent."""
    for entry in os.listdir("/proc") if os.path.isdir("/proc") else ():  # noqa: PTH112, PTH208 - few imports
        if entry.isdigit():
            with contextlib.suppress(OSError, ValueError), open(f"/proc/{entry}/stat", "rb") as stat:  # noqa: PTH123
                _, parent, _, of = stat.read().rpartition(b")")[2].split()[:4]
                if int(of) == session:
                    yield int(entry), int(parent)
