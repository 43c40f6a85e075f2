"""Describe failures of the operating system and the network in plain words.

What belongs here: an exception -> a description, and what to do. What does not: where it happened.
"""

import errno
import re
import socket

_ROOM, _RIGHTS = "free some space on the disk", "give this user the right, or name another place"

#: errno -> what happened, and what to do about it on this machine.
_MACHINE = {
    errno.ENOSPC: ("the disk is full", _ROOM),
    errno.EDQUOT: ("this user's quota of the disk is used up", _ROOM),
    errno.EACCES: ("this user has no right to it", _RIGHTS),
    errno.EPERM: ("this user has no right to it", _RIGHTS),
    errno.EROFS: ("it is on a read-only disk", "name another place"),
    errno.ENOENT: ("there is no such file or folder", "check the path"),
    errno.ENOTDIR: ("a part of its path is a file, not a folder", "check the path"),
    errno.EISDIR: ("it is a folder, not a file", "check the path"),
    errno.ENAMETOOLONG: ("its path is too long", "name a shorter one"),
    errno.EMFILE: ("too many files are open at once", "raise the limit (`ulimit -n`)"),
    errno.ENFILE: ("too many files are open at once on this machine", "stop other programs"),
    errno.ENOMEM: ("this machine has no memory left", "stop other programs, or use a machine with more memory"),
    errno.EIO: ("the disk cannot be read or written", "check the disk"),
    errno.EADDRINUSE: ("another program uses this port", "give another port"),
}
#: errno -> why another machine was not reached.
_NETWORK = {
    errno.ECONNREFUSED: "nothing listens there: it refuses the connection",
    errno.ECONNRESET: "it closed the connection",
    errno.ECONNABORTED: "it closed the connection",
    errno.EPIPE: "it closed the connection",
    errno.ETIMEDOUT: "no answer in time",
    errno.EHOSTUNREACH: "its host cannot be reached",
    errno.EHOSTDOWN: "its host cannot be reached",
    errno.ENETUNREACH: "its host cannot be reached: is the network up?",
    errno.ENETDOWN: "its host cannot be reached: is the network up?",
}
_UNKNOWN_HOST = "the name of its host is not known"
_NO_RESOLVER = "the name of its host cannot be looked up just now: is the network up?"
_ERRNO_TEXT = re.compile(r"\[?(?:errno|os error)[ :]+(-?\d+)", re.IGNORECASE)
_MOST_CAUSES = 6


def network(error: BaseException) -> str | None:
    """Return why another machine was not reached; None: another kind of failure."""
    for each in _chain(error):
        if isinstance(each, socket.gaierror):
            return _NO_RESOLVER if each.errno == socket.EAI_AGAIN else _UNKNOWN_HOST
        if isinstance(each, TimeoutError):
            return "no answer in time"
        if (number := _number(each)) in _NETWORK:
            return _NETWORK[number]
        if number is not None and number < 0:
            return _UNKNOWN_HOST
    return None


def machine(error: BaseException) -> tuple[str, str] | None:
    """Return what this machine refused, and what to do about it; None: another kind of failure."""
    return next((_MACHINE[number] for each in _chain(error) if (number := _number(each)) in _MACHINE), None)


def _chain(error: BaseException) -> list[BaseException]:
    """Return the error and its causes, because libraries wrap the original exception."""
    found = [error]
    for each in found:
        inner = (getattr(each, "os_error", None), each.__cause__, *getattr(each, "exceptions", ()))
        found += [more for more in inner if isinstance(more, BaseException) and more not in found]
        if len(found) >= _MOST_CAUSES:
            break
    return found


def _number(error: BaseException) -> int | None:
    """Return the errno of an exception. Some libraries have it in the message only."""
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    written = _ERRNO_TEXT.search(str(error))
    return int(written[1]) if written else None
