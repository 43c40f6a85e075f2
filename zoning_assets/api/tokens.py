"""Tokens of the API: which scopes a request has. A token is compared in constant time, and is never logged."""

import hmac
import re
import secrets
from dataclasses import dataclass, field
from pathlib import Path

from zoning_assets.errors import SettingInvalid

READ, REVIEW = "read", "review"
SCOPES = (READ, REVIEW)
SETTING = "ZONING_API_TOKENS"
_ADVICE = "give read:TOKEN and review:TOKEN, separated by commas, or the name of a file with one of them on each line"
#: A token: at least 16 characters, so that it cannot be guessed.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/=-]{16,256}")
_LARGEST_FILE = 65_536  # bytes


@dataclass(frozen=True)
class Tokens:
    """Pairs of scope and token. A token of the scope review may read, too."""

    pairs: tuple[tuple[str, str], ...] = field(default=(), repr=False)

    def scopes(self, authorization: str) -> frozenset[str]:
        """The scopes of a header `Authorization: Bearer TOKEN`; empty: the token is not known."""
        kind, _, given = authorization.partition(" ")
        if kind.lower() != "bearer":
            return frozenset()
        found = [scope for scope, token in self.pairs if hmac.compare_digest(token.encode(), given.strip().encode())]
        return frozenset({*found, *((READ,) if found else ())})

    def with_new(self, scope: str) -> "Tokens":
        """These tokens and a new one of a scope; unchanged if there is one of this scope already."""
        if any(known == scope for known, _ in self.pairs):
            return self
        return Tokens((*self.pairs, (scope, secrets.token_urlsafe(24))))

    def of(self, scope: str) -> str | None:
        """The first token of a scope."""
        return next((token for known, token in self.pairs if known == scope), None)


def read(setting: str | None) -> Tokens:
    """Read the setting: `read:TOKEN,review:TOKEN`, or the name of a file with one pair on each line.

    Raises:
        SettingInvalid: the file cannot be read, or a pair is not valid. The message never has a token.
    """
    if not setting:
        return Tokens()
    is_value = setting.partition(":")[0] in SCOPES
    lines = setting.split(",") if is_value else _lines(Path(setting).expanduser())
    return Tokens(tuple(_pair(line.strip()) for line in lines if line.strip() and not line.strip().startswith("#")))


def _lines(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8") as opened:
            return opened.read(_LARGEST_FILE).splitlines()
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or "it is not a text file"
        raise SettingInvalid(f"its file cannot be read: {why}", where=SETTING, do=_ADVICE) from None


def _pair(line: str) -> tuple[str, str]:
    scope, _, token = line.partition(":")
    if scope not in SCOPES:
        raise SettingInvalid("a scope is neither read nor review", where=SETTING, do=_ADVICE)
    if not _TOKEN.fullmatch(token):
        what = "a token has other characters than A-Z a-z 0-9 . _ ~ + / = -, or fewer than 16 of them"
        raise SettingInvalid(what, where=SETTING, do="`python3 -c 'import secrets; print(secrets.token_urlsafe())'`")
    return scope, token
