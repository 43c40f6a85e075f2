"""Every error an operator can meet, named by what to do next.

ZoningError                 one line: where, what, what to do
├── WrongUsage              exit status 2: mend the command, the setting or the file
│   ├── SettingInvalid          an environment variable or an option
│   ├── JurisdictionInvalid     a jurisdiction file
│   └── JurisdictionUnknown     no file describes this id
├── PortalError             the portal; what was published before stays
│   ├── PortalUnreachable       no answer: check the address, or wait
│   ├── PortalBusy              it asked us to wait: wait
│   ├── PortalResting           its maintenance window: wait
│   ├── PortalUntrusted         its certificate cannot be verified: mend the trust, never skip it
│   ├── FeedRefused             it answered and said no: asking again will not help
│   └── NotALayer               the address is not a layer: mend the address
├── HarvestError            the harvest is not proven; what was published before stays
│   ├── HarvestIncomplete       the rows do not add up
│   ├── AcceptanceNeeded        a tripwire was tripped: a person must say that the release is right
│   ├── CoverStale              the layer changed since its tiles were found: materialize `tiles` again
│   └── UndoneMeanwhile         it was rolled back while the run was under way: run it again
├── NothingWaits            there is nothing of that kind to be done
├── NothingFound            nothing has this name: look for its spelling
├── FileRefused             a downloaded file is not what it should be, or is not safe
├── MessageRefused          a message says what cannot be: it becomes a dead letter
├── FixRefused              a fix would not help: nothing was kept
├── DocumentRefused         a document is not one that ordinances can be read from, or is not safe
├── CrsRefused              the coordinates cannot be what the portal says they are
├── TooManyRejections       so much was rejected that publishing would do harm
├── RollbackRefused         a later batch builds on it: take a time instead
├── Held                    a person paused it: wait, or `zoning resume`
├── Stopping                asked to stop: the same command goes on from here
├── Defect                  this program's own fault: report it
├── MachineRefused          this machine: a full disk, a missing right
└── StoreError              our own side: the database, the object store
    ├── DatabaseUnavailable     nobody answers, or no way to bring one up here
    ├── QueueUnavailable        nobody answers there; messages stay where they are
    ├── SchemaMismatch          the database is newer or older than this program
    └── HarvestMissing          nothing stored under that name: materialize the asset before it
"""

from zoning_assets import os_errors
from zoning_assets.redaction import scrubbed


class MalformedResponse(ValueError):
    """An answer that came whole and is not in the form that it should be in; asked again it would be the same."""


class ZoningError(Exception):
    """Something a person can act on: `where` it happened, `what` happened, what to `do`. One line each, no secrets."""

    exit_status = 1
    #: What the operator does next: nothing, as asking again later may succeed; else it waits for a person.
    is_temporary = False

    def __init__(self, what: str, *, where: str, do: str, wait_s: float | None = None) -> None:
        """`wait_s`: from now, in seconds; asking again sooner is in vain. None: nobody said."""
        self.what, self.where, self.do = map(_one_line, (what, where, do))
        self.wait_s = wait_s
        super().__init__(f"{self.where}: {self.what}; {self.do}")

    def __reduce__(self) -> tuple[object, ...]:
        """Errors cross the process pool's border whole, with what a subclass added."""
        return _rebuild, (type(self), self.what, self.where, self.do, self.__dict__)


def _one_line(text: str) -> str:
    """One line of printable text without secrets: a portal's own words may carry a terminal's commands."""
    return " ".join("".join(each if each.isprintable() else " " for each in scrubbed(text)).split())


def _rebuild(kind: type[ZoningError], what: str, where: str, do: str, state: dict[str, object]) -> ZoningError:
    error = ZoningError.__new__(kind)
    ZoningError.__init__(error, what, where=where, do=do)
    error.__dict__.update(state)
    return error


class WrongUsage(ZoningError):
    """The command, a setting or a file must be mended first."""

    exit_status = 2


class SettingInvalid(WrongUsage):
    """An environment variable or an option has a value that cannot be used."""


class JurisdictionInvalid(WrongUsage):
    """A jurisdiction file says something that cannot be; names the file, the key and the valid choices."""


class JurisdictionUnknown(WrongUsage):
    """No file describes a jurisdiction with this id."""


class PortalError(ZoningError):
    """The portal did not give what was asked for; what was published before stays."""


class PortalUnreachable(PortalError):
    """No answer came, again and again. Check the address, or wait."""

    is_temporary = True


class PortalBusy(PortalError):
    """The portal asked us to wait; `wait_s` says how long, in seconds, where it said so."""

    is_temporary = True


class PortalResting(PortalError):
    """The portal's own maintenance window or quiet hours are open, for longer than a run should wait."""

    is_temporary = True


class PortalUntrusted(PortalError):
    """The portal's TLS certificate cannot be verified. Never skipped: mend the trust, or the portal."""


class FeedRefused(PortalError):
    """The portal answered and said no; asking again will not help. `final`: nor will asking in another way."""

    def __init__(self, what: str, *, where: str, do: str, final: bool = False) -> None:
        super().__init__(what, where=where, do=do)
        self.final = final


class NotALayer(PortalError):
    """The address answers, but not as a layer of the declared feed type. Mend the address."""


class HarvestError(ZoningError):
    """The harvest could not be proven; what was published before stays."""


class HarvestIncomplete(HarvestError):
    """The rows received do not add up to what the portal says it has; the message is the evidence."""

    is_temporary = True


class AcceptanceNeeded(HarvestError):
    """A tripwire was tripped, which the message names; nothing is published until a person says that it is right."""

    @classmethod
    def of(cls, jurisdiction: str, feed: str, what: str) -> "AcceptanceNeeded":
        """The same advice, whichever check holds the release."""
        return cls(
            what, where=f"{jurisdiction} {feed}", do=f"look at the portal, then {cls.advice(jurisdiction, feed)}"
        )

    @staticmethod
    def advice(jurisdiction: str, feed: str) -> str:
        """The commands that decide what becomes of a held release."""
        words = f"{jurisdiction} --feed {feed} --reason ..."
        return f"`zoning accept {words}` or `zoning discard {words}`"


class CoverStale(HarvestError):
    """The layer changed since its tiles were found; materialize `tiles` again. `key`: which was met twice."""

    def __init__(self, what: str, *, where: str, do: str, key: str | None = None) -> None:
        super().__init__(what, where=where, do=do)
        self.key = key

    is_temporary = True


class UndoneMeanwhile(HarvestError):
    """What stood when the run began was rolled back since; the next run judges its harvest beside what stands now."""

    is_temporary = True


class NothingWaits(ZoningError):
    """What was to be accepted, retried or discarded does not wait."""


class NothingFound(ZoningError):
    """Nothing has, or ever had, the name that was asked for."""


class FileRefused(ZoningError):
    """A downloaded file is not what it should be, is not safe to open, or is larger than allowed."""


class MessageRefused(ZoningError):
    """A message is not one, by its published schema or by what its jurisdiction is; sent again it fares no better."""


class FixRefused(ZoningError):
    """What a person said of a row would not help, or cannot be; nothing was kept."""


class DocumentRefused(ZoningError):
    """A document is neither HTML nor a PDF with text, or reading it takes more than is allowed."""


class CrsRefused(ZoningError):
    """The coordinates cannot be what the portal or the jurisdiction file says they are."""


class TooManyRejections(ZoningError):
    """So many rows were rejected that publishing the rest would do harm."""


class RollbackRefused(ZoningError):
    """What is to be undone was built upon since; undo that as well, by a time."""


class Held(ZoningError):
    """A person paused the jurisdiction, its host or everything; what was fetched is kept, nothing was published."""

    is_temporary = True


class Stopping(ZoningError):
    """This program was asked to stop. What was fetched and published stays; the same command goes on from here."""

    is_temporary = True


class RunGivenUp(ZoningError):
    """A run was killed, or did not start, and Dagster does not start it again; what it published stays."""

    is_temporary = True


class Defect(ZoningError):
    """This program met what it was not made for. The message is for a report; nothing was published."""


class MachineRefused(ZoningError):
    """This machine did not do what it was asked for: its disk is full, a right is missing. A person must mend that."""


def machine_error(error: BaseException, where: str) -> MachineRefused | None:
    """A failure of this machine's own as an error; None where it is of another kind. `where`: what was worked on."""
    found = os_errors.machine(error)
    if found is None:
        return None
    what, do = found
    path = getattr(error, "filename", None)
    return MachineRefused(what, where=str(path or where), do=f"{do}, then run the same command again")


class StoreError(ZoningError):
    """Our own side: the database or the object store."""

    is_temporary = True


class DatabaseUnavailable(StoreError):
    """No database answers, or there is no way to bring one up on this machine."""


class QueueUnavailable(StoreError):
    """The broker of messages does not answer, or not as it should. Messages that were put stay where they are."""


class SchemaMismatch(StoreError):
    """The database's schema and this program are of different versions."""

    is_temporary = False


class HarvestMissing(StoreError):
    """Nothing is stored under that name; materialize the asset before it."""

    is_temporary = False
