"""Changes that a person must decide about, and the decision, which is recorded in the audit."""

from typing import Any

from zoning_assets.errors import NothingWaits
from zoning_assets.storage.postgis.database import dicts
from zoning_assets.storage.postgis.records import amendment_records, audit_records
from zoning_assets.storage.postgis.sessions import session
from zoning_assets.storage.postgis.sql_queries import named
from zoning_assets.transform.changes.amendment_matching import REVIEW_BELOW

#: Action -> the state of the change after it.
ACTIONS = {"accept": "event", "dismiss": "retracted"}


def waiting(url: str, jurisdiction: str | None, limit: int) -> list[dict[str, Any]]:
    """The changes that wait for a decision, newest first: thinner than the tolerance, or of low confidence.

    Raises:
        DatabaseUnavailable, StoreError: the database does not answer, or a statement failed.
    """
    values = {"jurisdiction": jurisdiction, "least": REVIEW_BELOW, "limit": limit}
    with session(url) as connection:
        return dicts(connection, named("reviews")["waiting"], values)


def decide(url: str, id_: str, action: str, person: str, reason: str) -> dict[str, Any]:
    """Accept a change (it is an event), or dismiss it (it is retracted).

    Args:
        url: the database, with the writer role.
        id_: the complete id of the change.
        action: a key of ACTIONS.
        person: who decides; stored in the audit.
        reason: why; stored in the audit.

    Returns:
        `id`, `jurisdiction`, `kind`, `state` after the decision.

    Raises:
        NothingWaits: there is no such change, or a person decided about it already.
    """
    query, state = named("reviews"), ACTIONS[action]
    with session(url) as connection:
        connection.execute(named("holds")["lock"])
        found = dicts(connection, query["undecided"], {"id": id_})
        if not found:
            do = "look at `zoning changes --review`"
            raise NothingWaits("no such change waits for a decision", where=id_, do=do)
        connection.execute(query["decide"], {"id": id_, "state": state, "action": action, "person": person})
        subject = {"change": id_, "jurisdiction": found[0]["jurisdiction"], "was": found[0]["state"], "state": state}
        audit_records.append(connection, person, action, subject, reason)
        amendment_records.match(connection, found[0]["jurisdiction"])
    return {"id": id_, **found[0], "state": state}
