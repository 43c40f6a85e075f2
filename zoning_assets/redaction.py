"""Remove secrets from addresses and texts.

All text that this program writes for others (errors, logs, metadata, manifests) is redacted here.
"""

import re
from urllib.parse import urlsplit

#: The input is untrusted, so both patterns must run in linear time: the length of a scheme is limited, and a quote that
#: is never closed hides the rest of the text.
_ADDRESS = re.compile(r"\w[\w+.-]{0,20}://[^\s'\"<>]+")
#: A name and its value: `password=...` of libpq, `Authorization: Bearer ...` of HTTP, `"token": "..."` of JSON.
_NAMED_SECRET = re.compile(
    r"(?i)\b(password|passwd|pwd|secret|token|api[_-]?key|x-[\w-]{0,40}token|signature|sig|authorization)\b"
    r"(['\"]?\s*[=:]\s*)(?:(bearer|basic)\s+)?('[^']*'?|\"[^\"]*\"?|[^\s&,;'\"<>)}\]]+)"
)


def without_secrets(url: str) -> str:
    """Return an address without query, user and password.

    Raises:
        ValueError: it is not a valid URL.
    """
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def scrubbed(text: str) -> str:
    """Redact a text: its addresses, and the values of `password=` and similar names."""
    return _NAMED_SECRET.sub(r"\1\2***", _ADDRESS.sub(lambda found: _shown(found[0]), text))


def _shown(url: str) -> str:
    try:
        return without_secrets(url)
    except ValueError:  # an invalid URL, such as `http://[`
        return "an invalid address"
