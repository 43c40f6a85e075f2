"""The Ed25519 key of this installation, which signs certificates. It is created when it is first needed."""

import hashlib
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from zoning_assets.errors import CertificateRefused, SettingInvalid, machine_error

_FILE = "certificate-key.pem"
_OTHERS = 0o077  # permissions of the group and of everybody


def load_or_create(home: Path) -> Ed25519PrivateKey:
    """The private key in ZONING_HOME, readable by this user only (mode 0600). It is never part of a message.

    Raises:
        SettingInvalid: others may read the file, or it is no such key.
        MachineRefused: it cannot be read or created.
    """
    file = home / _FILE
    try:
        if not file.exists():
            _create(file)
        is_open, body = bool(file.stat().st_mode & _OTHERS), file.read_bytes()
    except OSError as error:
        if known := machine_error(error, str(file)):
            raise known from error
        raise
    if is_open:
        raise SettingInvalid("others may read the private key", where=str(file), do=f"`chmod 600 {file}`")
    return _private(file, body)


def _private(file: Path, body: bytes) -> Ed25519PrivateKey:
    with suppress(ValueError, TypeError, UnsupportedAlgorithm):
        key = serialization.load_pem_private_key(body, password=None)
        if isinstance(key, Ed25519PrivateKey):
            return key
    do = "restore it from a backup; if you delete it, a new key is created, and earlier certificates need the old one"
    raise SettingInvalid("it is not an Ed25519 private key", where=str(file), do=do)


def _create(file: Path) -> None:
    """Create the key, unless another process creates one at the same time. It is complete when it gets its name."""
    pem = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(dir=file.parent, prefix=f".{_FILE}.")  # mode 0600
    draft = Path(name)
    try:
        with os.fdopen(number, "wb") as opened:
            opened.write(pem)
        with suppress(FileExistsError):
            file.hardlink_to(draft)
    finally:
        draft.unlink()


def public_pem(key: Ed25519PublicKey) -> bytes:
    """A public key as PEM (SubjectPublicKeyInfo)."""
    return key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def read_public(pem: bytes) -> Ed25519PublicKey:
    """Read a public key. It must be exactly what `public_pem` writes, so that a change of any byte is found.

    Raises:
        CertificateRefused: it is not.
    """
    with suppress(ValueError, TypeError, UnsupportedAlgorithm):
        key = serialization.load_pem_public_key(pem)
        if isinstance(key, Ed25519PublicKey) and public_pem(key) == pem:
            return key
    what = "it is not a public key as `zoning certificate --public-key` prints it, or it was changed"
    raise CertificateRefused(what, where="--key", do="get the key again from the installation that signed")


def fingerprint(key: Ed25519PublicKey) -> str:
    """SHA-256 of the 32 bytes of a public key, in hexadecimal."""
    return hashlib.sha256(key.public_bytes_raw()).hexdigest()


def is_signed(key: Ed25519PublicKey, signature: bytes, message: bytes) -> bool:
    """Whether a signature of a message is of this key."""
    try:
        key.verify(signature, message)
    except InvalidSignature:
        return False
    return True
