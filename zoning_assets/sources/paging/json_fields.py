"""Read members of JSON from portals. Any of them may be missing, of another type, or impossible.

`object_of` and `rows_of` raise ValueError if the answer is not what was requested; the client then retries.
"""

from typing import Any

#: A higher count is invalid; no county has so many rows, and fetching them would never end.
_MOST_ROWS = 50_000_000


def member(document: Any, *path: str) -> Any:
    """The value at a path of names; None: a part of the path is missing."""
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def object_of(value: Any) -> dict[str, Any]:
    """Return the value if it is an object.

    Raises:
        ValueError: it is not an object.
    """
    if not isinstance(value, dict):
        message = "the answer is no object"
        raise ValueError(message)  # noqa: TRY004 - the client retries on ValueError
    return value


def rows_of(value: Any) -> list[dict[str, Any]]:
    """Return the value if it is a list of objects.

    Raises:
        ValueError: it is not.
    """
    if not isinstance(value, list) or not set(map(type, value)) <= {dict}:
        message = "the answer holds no rows"
        raise ValueError(message)
    return value


def objects(value: Any) -> list[dict[str, Any]]:
    """The members of a list that are objects; [] if it is no list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def text(value: Any, most: int = 200) -> str:
    """A text, cut to `most` characters; "" if it is no text."""
    return value[:most] if isinstance(value, str) else ""


def signal(value: Any) -> int | str | None:
    """A value that changes when a layer does: a whole number or a text; None: it is neither."""
    return value[:200] if isinstance(value, str) else value if type(value) is int else None


def count(value: Any) -> int | None:
    """A number of rows, from a number or (Socrata) a text; None: it is neither, or impossible."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 12:
        value = int(value)
    return value if type(value) is int and 0 <= value <= _MOST_ROWS else None
