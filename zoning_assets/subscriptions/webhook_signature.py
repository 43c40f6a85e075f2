"""Signatures of webhooks by the Standard Webhooks specification 1.0 (https://www.standardwebhooks.com).

The signature is HMAC-SHA256 over `id.timestamp.body`, in base64, after the version `v1,`.
"""

import base64
import binascii
import hashlib
import hmac
import secrets

_PREFIX = "whsec_"
#: The specification allows keys of 24 to 64 bytes.
_LEAST_BYTES, _MOST_BYTES = 24, 64


def new_key() -> str:
    """A random signing key of 32 bytes, as the receiver configures it."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def key_bytes(key: str) -> bytes:
    """Decode a signing key.

    Raises:
        ValueError: it is not `whsec_` and 24 to 64 bytes in base64.
    """
    try:
        decoded = base64.b64decode(key.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        decoded = b""
    if not key.startswith(_PREFIX) or not _LEAST_BYTES <= len(decoded) <= _MOST_BYTES:
        raise ValueError("a signing key is whsec_ and 24 to 64 bytes in base64")
    return decoded


def headers(key: str, id_: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that prove origin and time of a message. `timestamp`: seconds since 1970."""
    signed = f"{id_}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(key_bytes(key), signed, hashlib.sha256).digest()).decode()
    return {"webhook-id": id_, "webhook-timestamp": str(timestamp), "webhook-signature": f"v1,{signature}"}
