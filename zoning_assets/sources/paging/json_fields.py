"""The members of strangers' JSON: any may be missing, of another kind, or absurd.

`object_of` and `rows_of` raise ValueError where the answer is not what was asked for: the client asks again.
"""

from typing import Any

#: A count above it is no county's, and a walk of that length would never end.
_MOST_ROWS = 50_000_000


def member(document: Any, *path: str) -> Any:
    """What stands at a path of names; None where something of it is missing."""
    for name in path:
        document = document.get(name) if isinstance(document, dict) else None
    return document


def object_of(value: Any) -> dict[str, Any]:
    """An object.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, dict):
        message = "the answer is no object"
        raise ValueError(message)  # noqa: TRY004 - the client asks again on ValueError
    return value


def rows_of(value: Any) -> list[dict[str, Any]]:
    """A list of objects.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, list) or not set(map(type, value)) <= {dict}:
        message = "the answer holds no rows"
        raise ValueError(message)
    return value


def objects(value: Any) -> list[dict[str, Any]]:
    """Those members of a list that are objects."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def text(value: Any, most: int = 200) -> str:
    """A text, cut to a length; empty where it is none."""
    return value[:most] if isinstance(value, str) else ""


def signal(value: Any) -> int | str | None:
    """What changes when a layer does: a whole number or a text; None where it is neither."""
    return value[:200] if isinstance(value, str) else value if type(value) is int else None


def count(value: Any) -> int | None:
    """A number of rows, from a number or (Socrata) a text; None where it is none that can be."""
    if isinstance(value, str) and value.isdecimal() and len(value) < 12:
        value = int(value)
    return value if type(value) is int and 0 <= value <= _MOST_ROWS else None
