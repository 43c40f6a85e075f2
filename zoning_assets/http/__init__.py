"""The polite client: every request to a portal goes through here.

What belongs here: asking, and how politely. What does not: what an answer means (sources/), where a budget is kept for
all processes (stores/ledger).

    client    asks: retries, redirects, downloads that go on; counts for one piece of work, and keeps its pauses
    questions what is asked, in what context, and what came of it
    turns     who of this process asks a host next, when, and over which connection; windows in which nobody is asked
    ledger    where a host's budget is kept; in memory here
    budget    what a host may be asked, as pure steps: pace, rests, stated limits, the breaker
    answers   headers, redirects, pages for people, certificates: what they mean
    bodies    bodies read within limits
    drain     stopping without losing what is on its way
    kept      answers that are used twice
"""

from zoning_assets.http.client import Client, Http
from zoning_assets.http.kept_answers import Kept, KeptAnswers
from zoning_assets.http.request import Answer, Part, Paused, Tally
from zoning_assets.http.response_checks import retry_after_s

__all__ = ["Answer", "Client", "Http", "Kept", "KeptAnswers", "Part", "Paused", "Tally", "retry_after_s"]
