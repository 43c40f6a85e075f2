"""What strangers may read: addresses without their secrets, in whatever text they stand.

Everything that is written for people or programs to read (errors, logs, metadata, manifests) passes through here.
"""

import re
from urllib.parse import urlsplit

#: Strangers write what is looked through here: a scheme is looked for in its last letters, and a quote that nobody
#: closed hides all that follows, so that nothing is looked through twice.
_ADDRESS = re.compile(r"\w[\w+.-]{0,20}://[^\s'\"<>]+")
#: `password=...` of libpq, `Authorization: Bearer ...` of HTTP, `"token": "..."` of JSON: a word and what follows it.
_SAID = re.compile(
    r"(?i)\b(password|passwd|pwd|secret|token|api[_-]?key|x-[\w-]{0,40}token|signature|sig|authorization)\b"
    r"(['\"]?\s*[=:]\s*)(?:(bearer|basic)\s+)?('[^']*'?|\"[^\"]*\"?|[^\s&,;'\"<>)}\]]+)"
)


def without_secrets(url: str) -> str:
    """An address fit for messages: no query, no user, no password."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def scrubbed(text: str) -> str:
    """A text with its addresses fit for messages, and without what stands after `password=` and its like."""
    return _SAID.sub(r"\1\2***", _ADDRESS.sub(lambda found: _shown(found[0]), text))


def _shown(url: str) -> str:
    try:
        return without_secrets(url)
    except ValueError:  # `http://[`, as a stranger may write
        return "an address that is none"
