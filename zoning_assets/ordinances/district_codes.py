"""Find district codes in a statement that changes a district. Other parts of a text are not searched for codes."""

import re
from collections.abc import Iterator, Sequence

from zoning_assets.ordinances.findings import NEW_CODE, OLD_CODE, Mention

_DASH = r"\s?[-‐-―]\s?"
_TOKEN = re.compile(
    rf"(?<![\w/.#‐-―-])(?:[A-Z]{{1,5}}(?:{_DASH}|\s)?\d{{1,4}}(?:\.\d{{1,2}})?[A-Z]{{0,3}}|"
    rf"[A-Z]{{1,2}}&[A-Z]{{1,2}}|[A-Z]{{1,5}})"
    rf"(?:\s?[-‐-―/]\s?(?:[A-Z]{{1,4}}\d{{0,3}}|\d{{1,3}}(?:\.\d{{1,2}})?)[A-Z]{{0,2}}){{0,3}}"
    r"(?:\([A-Z]{1,4}\d?\))?(?:\s\(O\d{4}-\d{1,5}\))?(?![\w])(?!-\w)"
)
#: Roads, COVID and ordinary words. I-1 and I-2 are industrial districts, I-94 is a road.
_NOT_A_CODE = re.compile(
    r"(?:I|US|SR|FM|SH|CR|IH|RT)[-\s]?\d{2,4}|SR-?\d|COVID.*|(?:AM|PM|NO|OF|AND|THE|TO|CITY|LLC|INC|ST|AVE|"
    r"LOT|AN|IN|ON|BY|OR|PART|ALL)\b.*"
)
_OTHER_NUMBERS = re.compile(
    r"\b(?:street|avenue|ave|road|highway(?!\s(?:commercial|business|service|mixed|retail|oriented))|hwy|"
    r"freeway|interstate|route|boulevard|blvd|feet|foot|ft|percent|spaces|"
    r"minutes|hours|acres?|section|sections|article|chapter|mile|miles|inches|days|dollars|item|page)\b|"
    r"[ap]\.m|\d\s?[ap]m\b|[%$§]",
    re.IGNORECASE,
)
_LETTERS_BEFORE = re.compile(
    r"(?:^|[(\"“'‘]|\b(?:an?|the|existing|current|county|city)\s)\s?$|^\s?(?:zoned|of)?\s?$", re.IGNORECASE
)
_LETTERS_AFTER = re.compile(
    r"\s?(?:$|[)\"”'’(,|]|\b[Dd]istrict|DISTRICT|\b[Zz]on|ZON|[A-Z][a-z]|\band\b|[-–—]\s[A-Z][a-z])"
)
_SURE_AFTER = re.compile(r"\s?(?:[)\"”'’]|[Dd]istrict|DISTRICT|[Zz]on|ZON)")
_NAMED_BEFORE = re.compile(r"\b(Residence|Business|Industry|Office)\s$", re.IGNORECASE)
_LIST = re.compile(
    r"[^.;:]{0,90}(?:,|\band\b|\bor\b|&|/)\s{0,2}(?:(?:an?|the|portions?|partially|"
    r"part)\s)?(?:[A-Z][a-z]{2,12}\s){0,4}\(?$",
    re.IGNORECASE,
)

Span = tuple[int, int]


def has_other_numbers(text: str, start: int, end: int) -> bool:
    """Whether a piece is about streets, lengths, times or sections: a number there is not a code."""
    return _OTHER_NUMBERS.search(text, start, end) is not None


def find_codes(text: str, start: int, end: int) -> list[Span]:
    """Return the spans of the codes at the start of a piece of a sentence, and of those listed after it."""
    chunk = text[start:end]
    if has_other_numbers(text, start, end):
        return []
    spans: list[Span] = []
    for match in _TOKEN.finditer(chunk):
        begin, finish = match.span()
        if not _is_code(chunk, match):
            continue
        if named := _single_letter_name(chunk, match):
            begin = named
        if spans and not _LIST.fullmatch(chunk[spans[-1][1] - start : begin]):
            continue
        spans.append((start + begin, start + finish))
    return _without_repeats(text, spans)


def _is_code(chunk: str, match: re.Match[str]) -> bool:
    word = match[0]
    if _NOT_A_CODE.fullmatch(word):
        return False
    if "&" in word or any(map(str.isdigit, word)):
        return True
    if len(word) == 1:
        named = _NAMED_BEFORE.search(chunk[: match.start()])
        return bool(named or _SURE_AFTER.match(chunk, match.end()) or chunk.strip() == word) and not (
            word == "A" and re.match(r"\s[A-Z]{1,4}-?\d", chunk[match.end() :])
        )
    before, after = chunk[: match.start()], chunk[match.end() :]
    listed = re.search(r"(?:,|\band|\bor|&)\s$", before) is not None
    return bool((_LETTERS_BEFORE.search(before) or listed) and _LETTERS_AFTER.match(after))


def _single_letter_name(chunk: str, match: re.Match[str]) -> int | None:
    """Return the start of a name such as `Residence B`, because a single letter is not a code."""
    named = _NAMED_BEFORE.search(chunk[: match.start()]) if len(match[0]) == 1 else None
    return named.start() if named else None


def _without_repeats(text: str, spans: Sequence[Span]) -> list[Span]:
    first: dict[str, Span] = {}
    for span in spans:
        first.setdefault(normalize_code(text[slice(*span)]), span)
    return list(first.values())


def normalize_code(code: str) -> str:
    """Return a code on one line, with ASCII dashes and without spaces around them; letters are not changed."""
    code = re.sub(r"\s?[-‐-―]\s?", "-", " ".join(code.split()))
    return re.sub(r"\s?/\s?", "/", code)


def code_mentions(text: str, old: Sequence[Span], new: Sequence[Span]) -> Iterator[Mention]:
    """Convert spans to mentions."""
    for kind, spans in ((OLD_CODE, old), (NEW_CODE, new)):
        for start, end in spans:
            yield Mention(kind, text[start:end], normalize_code(text[start:end]), start, end)
