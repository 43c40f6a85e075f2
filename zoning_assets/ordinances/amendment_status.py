"""Find the steps of an amendment: motions with their outcome first, then plain statements. Boilerplate is ignored.

A planning commission does not adopt: its approval is a recommendation. The deciding body is searched in the sentence,
then in the head of the document.
"""

import re
from collections.abc import Iterator

from zoning_assets.ordinances.findings import STATUS, Mention
from zoning_assets.ordinances.spans import limited, lowered, sentence_before, without_overlaps

COMMISSION, COUNCIL, UNKNOWN = "commission", "council", "unknown"
#: The role of a status mention whose deciding body is unknown: a person must decide whether `approved` was final.
UNSURE = "unsure"
#: Steps that decide; the others (filed, hearing) come before a decision.
DECISIVE = frozenset(
    {"recommended", "adopted", "enacted", "effective", "denied", "withdrawn", "tabled", "annulled", "repealed"}
)
_BODY = re.compile(
    r"(?P<commission>\b(?:plan(?:ning)?\s(?:(?:and|&)\szoning\s)?(?:commission|board)|zoning\s(?:commission|board)|"
    r"planning\s(?:and|&)\szoning|plan\scommission|P&Z|CPC|commissioners?(?!['’]?\scourt))\b)|"
    r"(?P<council>\b(?:(?:city|town|common|county|village|metro)\scouncil|council(?:\s?(?:member|man|woman|or))?s?|"
    r"board\sof\s(?:supervisors|aldermen|(?:county\s)?commissioners|selectmen|trustees)|(?:county|"
    r"city)\scommission|aldermen|"
    r"select\sboard|town\smeeting|village\sboard)\b)",
    re.IGNORECASE,
)
_COMMISSION_BOARD = re.compile(r"\b(?:board of (?:county )?|county |city )$", re.IGNORECASE)

_MOTION = re.compile(
    r"\b(?:motion(?:ed|s)?|moved|moves|move)\b[^.;\n]{0,100}?\b(?P<verb>approv(?:e|al)|adopt(?:ion)?|grant|"
    r"pass(?:age)?|den(?:y|ial)|"
    r"disapprov(?:e|al)|reject|table|continue|defer|postpone|withdraw(?:al)?|forward|adjourn|reconsider|"
    r"close|open|recess)\b",
    re.IGNORECASE,
)
_OUTCOME = re.compile(
    r"\b(?P<lost>fail(?:s|ed)?|lost|defeated|died|dies|did\snot\s(?:carry|pass)|(?:was|"
    r"were)\snot\s(?:carried|passed|seconded))\b|"
    r"\b(?P<won>carried|carries|passed|passes|prevailed|approved|adopted|unanimous(?:ly)?)\b|"
    r"\b(?P<other>motion(?:ed)?\s(?:was\smade\s)?to|moved|withdrew\s(?:the|his|her)\smotion|"
    r"second(?:er)?\swithdrawn)\b",
    re.IGNORECASE,
)
_MAX_MOTION_LENGTH = 320
_STATUS_OF_VERB = {"den": "denied", "dis": "denied", "rej": "denied", "tab": "tabled", "con": "tabled", "def": "tabled"}
_STATUS_OF_VERB |= {"pos": "tabled", "wit": "withdrawn", "app": "approved", "ado": "approved", "gra": "approved"}
_STATUS_OF_VERB |= {"pas": "approved", "for": "recommended"}

#: The start of another item, where the search for the outcome of a motion ends.
_NEXT_ITEM = re.compile(
    r"\n[ ]?(?:\(?\d{1,3}[.)]|[A-Z][.)]\s|(?:case|item|agenda|petition|ordinance|ord|application|public\shearing)\b)",
    re.IGNORECASE,
)
_OBJECT = re.compile(
    r"\s(?:of\s)?(?:the\s|an?\s|this\s|its\s)?(?:request(?:ed)?\s(?:for\s|to\s)?(?:an?\s|the\s)?)?"
    r"(?P<object>continu|withdraw|postpone|tabl|defer|den(?:y|ial)|minutes|agenda|introduc|site\splan|"
    r"(?:\w{1,12}\s)?plat\b|varianc|"
    r"special\suse|special\sexception|use\spermit|budget)",
    re.IGNORECASE,
)
_STATUS_OF_OBJECT = {
    "con": "tabled",
    "wit": "withdrawn",
    "pos": "tabled",
    "tab": "tabled",
    "def": "tabled",
    "den": "denied",
}

#: Text that looks like a step, but is not one.
_BOILERPLATE = re.compile(
    r"be\sit\s(?:further\s|hereby\s|therefore\s)?(?:ordained|enacted|resolved)|(?:hereby|does|"
    r"do)\s(?:hereby\s)?ordains?\b|it\sis\shereby\sordained|"
    r"\b(?:all|any)\s(?:other\s)?(?:ordinances?|parts|resolutions)[^.;]{0,120}(?:conflict|inconsistent)[^.;]{0,80}|"
    r"in\sconflict[^.;]{0,80}repealed|"
    r"\bminutes\b[^.;\n]{0,100}\b(?:approved|adopted|approval)\b|"
    r"\bapprov\w{1,3}\s(?:of\s)?(?:the\s)?(?:minutes|agenda|consent)|"
    r"\bagenda\b[^.;\n]{0,40}\b(?:approved|adopted)\b|"
    r"(?:passed|adopted|approved|enacted)[^.;\n]{0,40}\b(?:this|on)\s{0,2}_{2,}|(?:adopted|passed|approved|"
    r"enacted|date)[:\s]{1,4}_{2,}|"
    r"shall\s(?:be\sin|take|become|go\sinto)\s[^.;]{0,40}(?:effect|force|effective)|"
    r"upon\s(?:its\s)?(?:passage|adoption|enactment|approval)|"
    r"approved\sas\sto\sform[^\n]{0,40}|\bmaster\splan\b[^.;]{0,60}\badopted\b|"
    r"\bcomprehensive\splan\b[^.;]{0,60}\badopted\b|"
    r"adopted[^.;]{0,40}\b(?:master|comprehensive|general)\splan|approved\s(?:site\s)?plans?\b|adopted\sbudget",
)
_STEP_PATTERNS = (
    (
        "denied",
        r"denied|disapproved|rejected|turned\sdown|recommend\w{0,5}\s(?:to\s|for\s)?(?:the\s|"
        r"that\s[^.;]{0,80}?\sbe\s)?(?:denial|disapproval|denied|deny)|"
        r"voted\s(?:[\w-]{1,12}\s){0,4}(?:to\s(?:deny|reject|disapprove)|against)|vetoed|defeated|"
        r"(?<=ordinance\s)failed|(?<=petition\s)failed|(?<=request\s)failed|(?<=application\s)failed|"
        r"(?<=rezoning\s)failed|(?<=measure\s)failed|"
        r"failed\s(?:of\sadoption|to\s(?:pass|receive|obtain|secure)|\d{1,2}\s?-\s?\d{1,2}|by\sa\svote|"
        r"for\s(?:lack|want))|(?:was|were)\snot\s(?:adopted|approved|passed|granted)|unfavorabl[ey]",
    ),
    (
        "withdrawn",
        r"withdrawn|withdrew|withdraws|accept(?:ed|s)\s[^.;]{0,30}withdrawal|withdrawal\s(?:was\s)?(?:accepted|approved|granted)",
    ),
    (
        "tabled",
        r"tabled|continued\s(?:this\s|the\s)?(?:\w{1,12}\s){0,2}?(?:to|until|indefinitely)\b|deferred|"
        r"postponed|held\sover|laid\s(?:over|on\sthe\stable)|carried\sover",
    ),
    (
        "annulled",
        r"annull?ed|annuls|annulling|vacated|vacates|set\saside|invalidated|struck\sdown|"
        r"declared\s(?:null\sand\s)?void|void\sab\sinitio",
    ),
    ("repealed", r"(?:is|was|were|are|been|hereby)\s(?:hereby\s)?repealed|repeals\s(?:ordinance|ord\b)"),
    ("effective", r"became\seffective|took\seffect|went\sinto\seffect|(?:is|are)\snow\sin\seffect"),
    (
        "enacted",
        r"enacted|(?:be\s|was\s|been\s|were\s)?ordained|signed\s(?:into\slaw|by\sthe\smayor)|"
        r"approved\sby\sthe\smayor",
    ),
    (
        "recommended",
        r"recommend(?:ed|s|ing)?\s(?:(?:to\s(?:the\s)?)?(?:city\s|town\s|county\s|common\s)?(?:council|"
        r"board|commission)\s)?(?:for\s)?(?:its\s|the\s|unanimous\s|conditional\s)?"
        r"(?:approval|adoption|that\b[^.;]{0,120}?\b(?:approved|adopted))|(?:positive|"
        r"favorable)\srecommendation|favorabl[ey]\s(?:reported|recommended)",
    ),
    (
        "approved",
        r"voted\s(?:[\w-]{1,12}\s){0,4}to\s(?:approve|adopt|pass|grant)|adopted|adopts|approved|approves|"
        r"granted|passed(?=\s?(?:and\b|to\sbe\sordained|on\b|by\b|the\sordinance|(?:third|final)\sreading|"
        r"unanimous|\d|[,.;:|)]))",
    ),
    ("hearing", r"public\shearing|hearing\s(?:was\s)?(?:held|opened|scheduled|set)"),
    ("filed", r"filed|submitted|introduced|initiated|application\s(?:was\s)?received|first\sreading"),
)
_STEP = re.compile("|".join(rf"\b(?P<{step}>{words})(?!\w)" for step, words in _STEP_PATTERNS))
_COURT = re.compile(r"\b(?:court|judge|justice|judgment)\b", re.IGNORECASE)
#: Text before a step which shows that it did not happen, or only may happen, or that the word has another meaning.
_NOT_A_FACT = re.compile(
    r"\b(?:not|never|if|would|may|might|could|should|shall|will|to\sbe|unless|whether|nor|neither|cannot|"
    r"can|must|no)\s(?:[\w-]{1,20}\s){0,3}$|"
    r"\b(?:until|when|once|upon|as|before|after|an?|the|any|previously|being|mark\w{0,4}|is\sto\sbe|last)\s$|=\s?$|"
    r"\b(?:previously|formerly|originally|years\sago|in\s(?:18|19)\d\d|ignore|disregard|instructions?|"
    r"pretend|last\syear)\b[^.;]{0,80}$|"
    r"\b(?:plat|plan|permit|variance|minutes|agenda|site\splan|amendment\sto\sthe\smotion|"
    r"subdivision)\s(?:(?:was|were|is|has|been)\s){0,2}$",
    re.IGNORECASE,
)
_REQUESTED = re.compile(
    r"\b(?:request\w{0,3}|ask\w{0,3}|urg\w{1,3}|seek\w{0,3}|hop\w{1,3}|want\w{0,3}|propos\w{1,3}|staff|"
    r"planner)\b[^.;]{0,50}$",
    re.IGNORECASE,
)


def find_statuses(text: str) -> list[Mention]:
    """Return every step in the order of the text. `role` is `unsure` if the deciding body is unknown."""
    head = _deciding_body(text[:1500]) or UNKNOWN
    motions = list(_motions(text, head))
    boilerplate = [_mention("", match.span(), text) for match in _BOILERPLATE.finditer(lowered(text))]
    plain = list(_statements(text, head))
    return [each for each in without_overlaps([*motions, *boilerplate, *plain]) if each.value]


def _motions(text: str, head: str) -> Iterator[Mention]:
    """Find motions with their outcome. Without an outcome before the next item or motion, a motion has no status."""
    for match in limited(_MOTION.finditer(text), text):
        ends = _NEXT_ITEM.search(text, match.end(), match.end() + _MAX_MOTION_LENGTH)
        outcome = _OUTCOME.search(text, match.end(), ends.start() if ends else match.end() + _MAX_MOTION_LENGTH)
        status, end = "", match.end()
        if outcome and not outcome["other"]:
            status, end = _status_after_vote(match["verb"], bool(outcome["won"])), outcome.end()
            status = _status_of_object(text, match.end(), status)
        yield _status_mention(text, status, (match.start(), end), head, text[match.start() : end])


def _status_after_vote(verb: str, is_won: bool) -> str:
    status = _STATUS_OF_VERB.get(verb[:3].lower(), "")
    if is_won:
        return status
    return "denied" if status in {"approved", "recommended"} else ""


def _status_of_object(text: str, offset: int, status: str) -> str:
    """Correct the status if the approved object is a delay or not the amendment."""
    named = _OBJECT.match(text, offset) if status == "approved" else None
    return _STATUS_OF_OBJECT.get(named["object"][:3].lower(), "") if named else status


def _statements(text: str, head: str) -> Iterator[Mention]:
    for match in limited(_STEP.finditer(lowered(text)), text):
        step = str(match.lastgroup)
        before = sentence_before(text, match.start(), 100)
        is_wished = step in {"approved", "recommended", "denied"} and _REQUESTED.search(before)
        if not (is_wished or _NOT_A_FACT.search(before)) and (step != "annulled" or _names_court(text, match)):
            after = re.split(r"[.;\n]", text[match.end() : match.end() + 80])[0]
            sentence, status = f"{before}{match[0]}{after}", _status_of_object(text, match.end(), step)
            yield _status_mention(text, status, match.span(), head, sentence)


def _names_court(text: str, match: re.Match[str]) -> bool:
    return _COURT.search(text, max(match.start() - 250, 0), match.end() + 250) is not None


def _status_mention(text: str, status: str, span: tuple[int, int], head: str, sentence: str) -> Mention:
    """Replace `approved` by `recommended` or `adopted`, depending on the body; a first reading is `filed`."""
    if status != "approved":
        return _mention(status, span, text)
    if re.search(r"\bfirst\sreading\b(?!\s(?:and|&)\s(?:second|final))", sentence, re.IGNORECASE):
        return _mention("filed", span, text)
    body = COMMISSION if re.search(r"\brecommend", sentence, re.IGNORECASE) else _deciding_body(sentence) or head
    return _mention("recommended" if body == COMMISSION else "adopted", span, text, UNSURE if body == UNKNOWN else "")


def _mention(status: str, span: tuple[int, int], text: str, role: str = "") -> Mention:
    return Mention(STATUS, text[slice(*span)], status, *span, role=role)


def _deciding_body(sentence: str) -> str | None:
    """Return the first body that is named; a board of commissioners is a council."""
    for match in _BODY.finditer(sentence):
        is_board = match[0].lower().startswith("commission") and _COMMISSION_BOARD.search(sentence, 0, match.start())
        return COUNCIL if is_board else str(match.lastgroup)
    return None
