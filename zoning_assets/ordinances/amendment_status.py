"""What became of an amendment: motions with their outcome first, then plain statements; boilerplate says nothing.

A planning commission does not adopt: what it approves is recommended. Who speaks is looked for in the sentence, else in
the document's head.
"""

import re
from collections.abc import Iterator

from zoning_assets.ordinances.findings import STATUS, Mention
from zoning_assets.ordinances.spans import disjoint, folded, lead, sparse

COMMISSION, COUNCIL, UNKNOWN = "commission", "council", "unknown"
#: The role of a status mention whose body is not known: a person must say whether `approved` was final.
UNSURE = "unsure"
#: Steps that say how it ended so far; the others only say that it began.
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
_MOTION_REACH = 320
_OF_VERB = {"den": "denied", "dis": "denied", "rej": "denied", "tab": "tabled", "con": "tabled", "def": "tabled"}
_OF_VERB |= {"pos": "tabled", "wit": "withdrawn", "app": "approved", "ado": "approved", "gra": "approved"}
_OF_VERB |= {"pas": "approved", "for": "recommended"}

#: Another item begins: a motion's outcome is not looked for in it.
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
_OF_OBJECT = {"con": "tabled", "wit": "withdrawn", "pos": "tabled", "tab": "tabled", "def": "tabled", "den": "denied"}

#: What reads like a step and is none.
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
_PLAIN = (
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
_STEP = re.compile("|".join(rf"\b(?P<{step}>{words})(?!\w)" for step, words in _PLAIN))
_COURT = re.compile(r"\b(?:court|judge|justice|judgment)\b", re.IGNORECASE)
#: Before a step: it did not happen, or only may; or the word belongs to something else.
_UNREAL = re.compile(
    r"\b(?:not|never|if|would|may|might|could|should|shall|will|to\sbe|unless|whether|nor|neither|cannot|"
    r"can|must|no)\s(?:[\w-]{1,20}\s){0,3}$|"
    r"\b(?:until|when|once|upon|as|before|after|an?|the|any|previously|being|mark\w{0,4}|is\sto\sbe|last)\s$|=\s?$|"
    r"\b(?:previously|formerly|originally|years\sago|in\s(?:18|19)\d\d|ignore|disregard|instructions?|"
    r"pretend|last\syear)\b[^.;]{0,80}$|"
    r"\b(?:plat|plan|permit|variance|minutes|agenda|site\splan|amendment\sto\sthe\smotion|"
    r"subdivision)\s(?:(?:was|were|is|has|been)\s){0,2}$",
    re.IGNORECASE,
)
_WISHED = re.compile(
    r"\b(?:request\w{0,3}|ask\w{0,3}|urg\w{1,3}|seek\w{0,3}|hop\w{1,3}|want\w{0,3}|propos\w{1,3}|staff|"
    r"planner)\b[^.;]{0,50}$",
    re.IGNORECASE,
)


def statuses(text: str) -> list[Mention]:
    """Every step that the text says was taken, in its order. `role` is `unsure` where it is not known who decided."""
    head = _body_named(text[:1500]) or UNKNOWN
    motions = list(_motions(text, head))
    boilerplate = [_mention("", match.span(), text) for match in _BOILERPLATE.finditer(folded(text))]
    plain = list(_plain(text, head))
    return [each for each in disjoint([*motions, *boilerplate, *plain]) if each.value]


def _motions(text: str, head: str) -> Iterator[Mention]:
    """Motions with their outcome; where there is none in the item, or another motion comes first, they say nothing."""
    for match in sparse(_MOTION.finditer(text), text):
        ends = _NEXT_ITEM.search(text, match.end(), match.end() + _MOTION_REACH)
        outcome = _OUTCOME.search(text, match.end(), ends.start() if ends else match.end() + _MOTION_REACH)
        status, end = "", match.end()
        if outcome and not outcome["other"]:
            status, end = _after_vote(match["verb"], bool(outcome["won"])), outcome.end()
            status = _of_object(text, match.end(), status)
        yield _decided(text, status, (match.start(), end), head, text[match.start() : end])


def _after_vote(verb: str, is_won: bool) -> str:
    status = _OF_VERB.get(verb[:3].lower(), "")
    if is_won:
        return status
    return "denied" if status in {"approved", "recommended"} else ""


def _of_object(text: str, offset: int, status: str) -> str:
    """What was approved may be a delay, or something else than the amendment."""
    named = _OBJECT.match(text, offset) if status == "approved" else None
    return _OF_OBJECT.get(named["object"][:3].lower(), "") if named else status


def _plain(text: str, head: str) -> Iterator[Mention]:
    for match in sparse(_STEP.finditer(folded(text)), text):
        step = str(match.lastgroup)
        before = lead(text, match.start(), 100)
        is_wished = step in {"approved", "recommended", "denied"} and _WISHED.search(before)
        if not (is_wished or _UNREAL.search(before)) and (step != "annulled" or _is_of_court(text, match)):
            after = re.split(r"[.;\n]", text[match.end() : match.end() + 80])[0]
            yield _decided(text, _of_object(text, match.end(), step), match.span(), head, f"{before}{match[0]}{after}")


def _is_of_court(text: str, match: re.Match[str]) -> bool:
    return _COURT.search(text, max(match.start() - 250, 0), match.end() + 250) is not None


def _decided(text: str, status: str, span: tuple[int, int], head: str, sentence: str) -> Mention:
    """`approved` becomes what it means by who approved; a first reading is only that."""
    if status != "approved":
        return _mention(status, span, text)
    if re.search(r"\bfirst\sreading\b(?!\s(?:and|&)\s(?:second|final))", sentence, re.IGNORECASE):
        return _mention("filed", span, text)
    body = COMMISSION if re.search(r"\brecommend", sentence, re.IGNORECASE) else _body_named(sentence) or head
    return _mention("recommended" if body == COMMISSION else "adopted", span, text, UNSURE if body == UNKNOWN else "")


def _mention(status: str, span: tuple[int, int], text: str, role: str = "") -> Mention:
    return Mention(STATUS, text[slice(*span)], status, *span, role=role)


def _body_named(sentence: str) -> str | None:
    """Who is named first; a board of commissioners is a council."""
    for match in _BODY.finditer(sentence):
        is_board = match[0].lower().startswith("commission") and _COMMISSION_BOARD.search(sentence, 0, match.start())
        return COUNCIL if is_board else str(match.lastgroup)
    return None
