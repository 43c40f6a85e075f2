"""Describe failures of an object store in one line, without its XML, addresses and keys.

What belongs here: an exception of obstore -> what happened, and what to do. What does not: which object was requested.
"""

import re

from zoning_assets import os_errors

_CREDENTIALS = "check the credentials and their rights (docs/how-to/object-stores.md)"
_SETTING = "correct the address of the store, or create it"
_WAIT = "wait, then run the same command again"
_CLOCK = "set the clock of this machine, then run the same command again"

#: Error codes of S3, Azure and Google -> what happened, and what to do.
_CODES = {
    "NoSuchBucket": ("its bucket does not exist", _SETTING),
    "ContainerNotFound": ("its container does not exist", _SETTING),
    "ContainerBeingDeleted": ("its container is being deleted", _SETTING),
    "RequestTimeTooSkewed": ("the clock of this machine is wrong", _CLOCK),
    "RequestExpired": ("the clock of this machine is wrong", _CLOCK),
}
_STATUSES = {
    401: ("the server refuses the credentials", _CREDENTIALS),
    403: ("the server refuses the credentials", _CREDENTIALS),
    404: ("it does not exist", _SETTING),
    429: ("the server is overloaded", _WAIT),
    503: ("the server is overloaded", _WAIT),
}
_CODE = re.compile(r"<Code>\s*(\w{1,60})\s*</Code>")
_STATUS = re.compile(r"status code: (\d{3})")
_RETRIES = re.compile(r"after (\d+) retries")
#: Where obstore looks for credentials if none are set: the metadata servers of Amazon, Azure and Google.
_METADATA = re.compile(r"169\.254\.169\.254|169\.254\.170\.2|metadata\.google|metadata/identity")
#: obstore has no attribute for these; it names the kind of the error of its HTTP client.
_KINDS = {
    "Timeout": "no answer in time",
    "Connect": "nothing answers at its address",
    "Interrupted": "it closed the connection",
    "Request": "it closed the connection",
}
_KIND = re.compile(r"HttpError \{\s*kind: (\w+)")
_MOST_CHARACTERS = 200


def reason(error: BaseException) -> tuple[str, str]:
    """What happened, and what to do."""
    if found := os_errors.machine(error):
        return found[0], "check the store and run again"
    text = str(error)
    if _METADATA.search(text):
        return "no credentials are set", _CREDENTIALS
    code, status = _CODE.search(text), _STATUS.search(text)
    if code or status:
        return _answered(text, code[1] if code else "", int(status[1]) if status else 0)
    kind = _KIND.search(text)
    what = os_errors.network(error) or (_KINDS.get(kind[1]) if kind else None)
    return what or text.splitlines()[0][:_MOST_CHARACTERS], _WAIT if what else "check the store and run again"


def _answered(text: str, code: str, status: int) -> tuple[str, str]:
    """What a server answered: its status and its code, and how often it was asked."""
    what, do = _CODES.get(code) or _STATUSES.get(status) or ("the server refuses it", "check the store and run again")
    if status >= 500 and status not in _STATUSES:
        what, do = "the server failed", _WAIT
    retries = _RETRIES.search(text)
    details = " ".join(filter(None, [str(status or ""), code])) + (f", after {retries[1]} retries" if retries else "")
    return f"{what} ({details})", do


def is_bucket_missing(error: BaseException) -> bool:
    """Whether not an object is missing but the whole store."""
    code = _CODE.search(str(error))
    return code is not None and code[1] in ("NoSuchBucket", "ContainerNotFound")
