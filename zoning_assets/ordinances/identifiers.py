"""Find the numbers of cases, ordinances and parcels. A number without a recognisable format needs a label before it.

Each expression starts with a letter or a label and has bounded repetitions, so that no text makes it slow.
"""

import re
from collections.abc import Iterator
from itertools import chain

from zoning_assets.ordinances.findings import CASE, ORDINANCE, PARCEL, REFERENCE, Mention
from zoning_assets.ordinances.spans import limited, sentence_before

_DASH = r"\s?[-‐-―]\s?"
#: Prefixes of case numbers that stand for zoning, planning or a board in many cities, and for nothing else.
_PREFIXES = (
    "Z|ZC|ZA|ZN|ZMA|ZTA|ZOA|ZON|ZCA|ZM|RZ|REZ|RZN|RZA|CZ|CZD|PZ|PZC|PLN|PL|PTN|PUD|PDR|TA|TXT|ANX|AX|LU|LUA|CPA|GPA|"
    "PC|CUP|SUP|VAR|BZA|BOA|DEV|SPR"
)
#: New York: C 210453 ZMM, N 210454(A) ZRK; the last letter is the borough.
_ULURP = re.compile(r"(?<![\w-])(?:[CNMI]\s?)?\d{2}\s?\d{4}\s?(?:\([A-Z]\)\s?)?[ZHPBE][A-Z][MKQXRY](?!\w)")
_PREFIXED = re.compile(
    rf"(?<![\w-])(?:{_PREFIXES})(?:{_DASH}|\s|#)?(?:(?:19|20)\d\d|\d\d){_DASH}\d{{1,8}}[A-Z]?(?![\w/])(?![-‐-―]\d)"
)
#: A year of four digits and at least three more digits are a docket number, whatever letters are before it.
_YEARLY = re.compile(
    r"(?<![\w-])(?:(?!ORD|RES|SO?20)[A-Z]{1,5}\d{0,2}-(?:19|20)\d\d-\d{3,8}[A-Z]?|\d{1,4}-[A-Z]{1,3}-(?:19|20)\d\d)(?![\w/-])"
)
_LABELLED_CASE = re.compile(
    r"(?<!\w)(?:case|petition|application|docket|file|bill|planning project|zone change|zoning request)"
    r"(?P<mark>\s?(?:\b(?:nos?|numbers?)\b\.?|#|:)\s?[:#]?)?\s?"
    r"(?P<id>(?-i:[A-Z]{0,5})\d{0,6}(?-i:[A-Z]{0,5})(?:\s?[-‐-―#.]\s?(?-i:[A-Z]{0,4})\d{1,8}(?-i:[A-Z]{0,3})){0,3})(?![\w/:])",
    re.IGNORECASE,
)
_ORDINANCE = re.compile(
    r"(?<!\w)(?:ordinance|ord)\b\s?\.?(?P<mark>\s?(?:\b(?:nos?|numbers?)\b\.?|#)\s?[:#]?|:)?\s{0,2}"
    r"(?P<id>(?-i:[A-Z]{1,3}-)?\d{1,8}(?:\s?[-‐-―#]\s?\d{1,6})?(?:-(?-i:[A-Z]){1,3})?)(?![\w/])(?!\s?[-‐-―.,]\d)",
    re.IGNORECASE,
)
_CHICAGO = re.compile(r"(?<![\w-])S?O20\d\d-\d{1,6}(?!\w)")
_NOT_A_CASE = re.compile(
    r"(?:19|20)\d\d-\d\d-\d\d|.*(?:CV|CIV|CA)\b.*|\d{3}[-.]\d{3}[-.]\d{4}|\d{3}-\d{4}", re.IGNORECASE
)
#: Text before a number which shows that it is the number of another ordinance or case.
_BEFORE_OTHER_ORDINANCE = re.compile(
    r"\b(?:amend(?:s|ed|ing|ment to|ments to)?|amendment of|pursuant to|under|provided (?:in|by)|"
    r"established by|in accordance with|"
    r"superse\w{1,6}|repeal\w{0,3}|original|previous|prior|earlier|as amended by|rezoned by|conditions of|part of)\s"
    r"(?:the\s)?(?:zoning\s|city\s|county\s)?$",
    re.IGNORECASE,
)
_BEFORE_OTHER_CASE = re.compile(
    r"\b(?:companion(?: to| of| case)?|related(?: to| case)?|see(?: also)?|similar to|unlike|previous|"
    r"prior|earlier|compare[sd]?(?: to)?|"
    r"with|heard with|reference to|under|than|withdrawn)[\s:(]{1,3}(?:the\s)?(?:zoning\s|rezoning\s)?(?:case\s)?$",
    re.IGNORECASE,
)

#: Words which show that a sentence is about the past, so that its numbers are those of other cases.
_PAST = re.compile(r"\b(?:previously|formerly|originally|years?\sago|history|in\s(?:18|19)\d\d)\b", re.IGNORECASE)

_BLOCK = re.compile(r"(?<!\w)Block\s(?P<block>\d{1,5}),?\s(?:and\s|p/o\s)?Lots?\s(?P<lot>\d{1,4})(?!\d)", re.IGNORECASE)
_MAP_LOT = re.compile(
    r"(?<!\w)(?:Assessor'?s?\s)?Map\s(?:No\.\s)?(?P<map>\d{1,4}[A-Z]?),?\sLots?\s(?P<lot>\d{1,4}[A-Z]?)(?!\w)",
    re.IGNORECASE,
)
_WARD = re.compile(
    r"(?<!\w)Ward\s(?P<ward>\d{1,2}),?\sItems?\s(?:No\.\s)?(?P<item>\d{6})(?P<more>[-.]\d{1,4})?(?!\w)", re.IGNORECASE
)
_RICHMOND = re.compile(r"(?<![\w-])[A-Z]\d{3}\s?-?\s?\d{4}\s?/\s?\d{3}[A-Z]?(?!\w)")
_LABELLED_PARCEL = re.compile(
    r"(?<!\w)(?:APNs?|PINs?|PIDs?|BBLs?|folio|assessor['’]?s?\sparcel|tax\sparcel|tax\smap|tax\sID|parcel)"
    r"\s?(?:(?:nos?|numbers?|IDs?|identification\snumbers?)\b\.?|#)?(?:\(s\))?\s?[:#]?\s?"
    r"(?P<id>(?-i:[A-Z]{0,2})\d[\d.-]{3,24}\d)(?![\w/])",
    re.IGNORECASE,
)
_NEXT_LOT = re.compile(
    r"\s?(?:,|and|&|,\sand)\s(?P<id>\d{1,4})(?![\w/-])(?!\s(?:feet|acres|square|(?-i:[A-Z][a-z])))", re.IGNORECASE
)
_NEXT_PARCEL = re.compile(r"\s?(?:,|;|and|&|,\sand)\s(?P<id>(?-i:[A-Z]{0,2})\d[\d.-]{3,24}\d)(?![\w/])", re.IGNORECASE)
_BOROUGHS = {"manhattan": 1, "bronx": 2, "brooklyn": 3, "queens": 4, "staten island": 5}
_BOROUGH = re.compile(r"(?<!\w)(Manhattan|Bronx|Brooklyn|Queens|Staten\sIsland)(?!\w)", re.IGNORECASE)


def normalize_number(text: str) -> str:
    """Normalize a number: single spaces, ASCII dashes without spaces around them, capital letters."""
    text = re.sub(r"\s?[-‐-―]\s?", "-", text)
    return re.sub(r"\s?([#/])\s?", r"\1", " ".join(text.split())).upper()


def find_cases(text: str) -> Iterator[Mention]:
    """Find case, petition, application and file numbers."""
    for match in limited(_ULURP.finditer(text), text):
        value = re.sub(r"^([CNMI]?) ?(\d\d) ?(\d{4}) ?(\(.\))? ?", r"\1 \2\3\4 ", normalize_number(match[0])).strip()
        yield _number(CASE, text, match.span(), value, _BEFORE_OTHER_CASE)
    for match in limited(chain(_PREFIXED.finditer(text), _YEARLY.finditer(text)), text):
        yield _number(CASE, text, match.span(), normalize_number(match[0]), _BEFORE_OTHER_CASE)
    for match in limited(_LABELLED_CASE.finditer(text), text):
        if _is_case(match["id"], bool(match["mark"])):
            number = normalize_number(match["id"])
            yield _number(CASE, text, match.span("id"), number, _BEFORE_OTHER_CASE, match.start())


def _is_case(found: str, is_marked: bool) -> bool:
    """Whether the text after a label is a case number, and not a date, a year, a telephone number or a court docket."""
    digits = sum(map(str.isdigit, found))
    has_form = bool(re.search(r"[-#]", found)) or found[:1].isalpha()
    return digits >= 2 and (is_marked or has_form) and not _NOT_A_CASE.fullmatch(normalize_number(found))


def find_ordinances(text: str) -> Iterator[Mention]:
    """Find ordinance numbers. Without `No.` before it, a number must contain a dash or a hash."""
    for match in limited(_ORDINANCE.finditer(text), text):
        if (match["mark"] and match["mark"].strip() != ":") or re.search(r"[-‐-―#]", match["id"]):
            yield _number(ORDINANCE, text, match.span(), normalize_number(match["id"]), _BEFORE_OTHER_ORDINANCE)
    for match in limited(_CHICAGO.finditer(text), text):
        yield _number(ORDINANCE, text, match.span(), match[0], _BEFORE_OTHER_ORDINANCE)


def _number(  # noqa: PLR0913 - a span, what it is, and where its label begins
    kind: str, text: str, span: tuple[int, int], value: str, aside: re.Pattern[str], begins: int | None = None
) -> Mention:
    """Create the mention of a number. `begins`: the start of its label; the text before it is searched for signs that
    the number belongs to another case."""
    begins = span[0] if begins is None else begins
    is_aside = aside.search(text, max(begins - 60, 0), begins) or _PAST.search(sentence_before(text, begins, 120))
    role = REFERENCE if is_aside else ""
    return Mention(kind, text[slice(*span)], value, *span, role=role)


def find_parcels(text: str) -> Iterator[Mention]:
    """Find parcel numbers: block and lot (New York), map and lot (Cambridge), ward and item (Detroit), the format of
    Richmond, and numbers after a label."""
    for match in limited(_BLOCK.finditer(text), text):
        borough = _borough(text, match.start())
        for start, end in _with_more(text, match.start(), match, "lot", _NEXT_LOT):
            lot = re.findall(r"\d+", text[start:end])[-1]
            plain = f"BLOCK {match['block']} LOT {lot}"
            bbl = f"{borough}{int(match['block']):05}{int(lot):04}"
            yield Mention(PARCEL, text[start:end], bbl if borough else plain, start, end)
    for match in _MAP_LOT.finditer(text):
        yield Mention(PARCEL, match[0], f"{match['map']}-{match['lot']}".upper(), *match.span())
    for match in _WARD.finditer(text):
        value = f"{int(match['ward']):02}{match['item']}{(match['more'] or '').replace('.', '')}"
        yield Mention(PARCEL, match[0], value, *match.span())
    for match in _RICHMOND.finditer(text):
        value = re.sub(r"^(\w{4})-?(?=\d)", r"\1-", normalize_number(match[0]).replace(" ", ""))
        yield Mention(PARCEL, match[0], value, *match.span())
    for match in _LABELLED_PARCEL.finditer(text):
        for start, end in _with_more(text, match.start("id"), match, "id", _NEXT_PARCEL):
            if sum(map(str.isdigit, text[start:end])) >= 6:
                yield Mention(PARCEL, text[start:end], text[start:end].upper(), start, end)


def _with_more(
    text: str, start: int, match: re.Match[str], group: str, following: re.Pattern[str]
) -> Iterator[tuple[int, int]]:
    """Yield the span of a match, and the spans of the numbers listed after it."""
    end = match.end(group)
    yield start, end
    while more := following.match(text, end):
        end = more.end()
        yield more.span("id")


def _borough(text: str, offset: int) -> int | None:
    """Return the number of the nearest borough named before the offset, or shortly after it."""
    before = [*_BOROUGH.finditer(text, max(offset - 600, 0), offset)]
    named = before[-1] if before else _BOROUGH.search(text, offset, offset + 200)
    return _BOROUGHS[" ".join(named[1].lower().split())] if named else None
