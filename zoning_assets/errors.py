"""Every error that an operator can meet, named by what to do next.

The class name is stored with a failure and is reported as its `kind`, so it is not renamed without a migration.

ZoningError                 one line: where, what happened, what to do
├── WrongUsage              exit status 2: correct the command, the setting or the file
│   ├── SettingInvalid          an environment variable or an option
│   ├── JurisdictionInvalid     a jurisdiction file
│   └── JurisdictionUnknown     no file describes this id
├── PortalError             the portal; published data does not change
│   ├── PortalUnreachable       no response: check the address, or wait
│   ├── PortalBusy              the portal asked us to wait
│   ├── PortalResting           a maintenance or quiet window is open: wait
│   ├── PortalUntrusted         the TLS certificate cannot be verified: correct the trust store, never skip the check
│   ├── FeedRefused             the portal refused the request: a retry does not help
│   └── NotALayer               the address is not a layer: correct the address
├── HarvestError            the harvest is not proven; published data does not change
│   ├── HarvestIncomplete       the numbers of rows do not match
│   ├── HarvestRunning          another process harvests the same feed: wait
│   ├── AcceptanceNeeded        a tripwire failed: a person must accept or discard the release
│   ├── CoverStale              the layer changed after its tiles were computed: materialize `tiles` again
│   └── UndoneMeanwhile         a rollback happened during the run: run it again
├── NothingWaits            there is nothing to accept, retry or discard
├── NothingFound            no object has this name: check the spelling
├── FileRefused             a downloaded file is invalid or unsafe
├── MessageRefused          a message is invalid: it becomes a dead letter
├── FixRefused              a fix would not help: it was not saved
├── DocumentRefused         a document cannot be read, or is unsafe
├── CertificateRefused      a certificate or its key was changed: do not rely on it
├── CrsRefused              the coordinates do not match the CRS that the portal states
├── TooManyRejections       publishing without the rejected rows would do harm
├── RollbackRefused         a later batch depends on it: roll back to a time instead
├── Held                    an operator paused it: wait, or `zoning resume`
├── DeliveryFailed          a consumer did not accept a delivery: it is repeated automatically
├── Stopping                this process was asked to stop: run the same command again
├── RunGivenUp              a run was killed or did not start, and has no retries left
├── Defect                  an error in this program: report it
├── MachineRefused          this machine: a full disk, a missing permission
└── StoreError              our own side: the database, the object store
    ├── DatabaseUnavailable     no database answers, and none can be started here
    ├── QueueUnavailable        the broker does not answer; messages stay in the queue
    ├── SchemaMismatch          the database is newer or older than this program
    └── HarvestMissing          nothing is stored under this name: materialize the upstream asset
"""

from zoning_assets import os_errors
from zoning_assets.redaction import scrubbed


class MalformedResponse(ValueError):
    """A complete response in the wrong format. A retry would return the same response."""


class ZoningError(Exception):
    """An error that a person can act on: `where` it happened, `what` happened, what to `do`. Each is one line without
    secrets."""

    exit_status = 1
    #: Whether a later retry may succeed without a person.
    is_temporary = False

    def __init__(self, what: str, *, where: str, do: str, wait_s: float | None = None) -> None:
        """`wait_s`: seconds from now before a retry can succeed; None: not known."""
        self.what, self.where, self.do = map(_one_line, (what, where, do))
        self.wait_s = wait_s
        super().__init__(f"{self.where}: {self.what}; {self.do}")

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle the error with the attributes of subclasses: errors cross the border of the process pool."""
        return _rebuild, (type(self), self.what, self.where, self.do, self.__dict__)


def _one_line(text: str) -> str:
    """One line of printable text without secrets. Text from a portal may contain terminal control characters."""
    return " ".join("".join(each if each.isprintable() else " " for each in scrubbed(text)).split())


def _rebuild(kind: type[ZoningError], what: str, where: str, do: str, state: dict[str, object]) -> ZoningError:
    error = ZoningError.__new__(kind)
    ZoningError.__init__(error, what, where=where, do=do)
    error.__dict__.update(state)
    return error


class WrongUsage(ZoningError):
    """The command, a setting or a file must be corrected first."""

    exit_status = 2


class SettingInvalid(WrongUsage):
    """An environment variable or an option has a value that cannot be used."""


class JurisdictionInvalid(WrongUsage):
    """A jurisdiction file is invalid. The message names the file, the key and the valid values."""


class JurisdictionUnknown(WrongUsage):
    """No file describes a jurisdiction with this id."""


class PortalError(ZoningError):
    """The portal did not deliver what was requested. Published data does not change."""


class PortalUnreachable(PortalError):
    """No response after several retries. Check the address, or wait."""

    is_temporary = True


class PortalBusy(PortalError):
    """The portal asked us to wait: for `wait_s` seconds, if it stated a time."""

    is_temporary = True


class PortalResting(PortalError):
    """A maintenance or quiet window of the portal is open for longer than a run should wait."""

    is_temporary = True


class PortalUntrusted(PortalError):
    """The TLS certificate of the portal cannot be verified. The check is never skipped: correct the trust store."""


class FeedRefused(PortalError):
    """The portal refused the request; a retry does not help. `final`: no other form of the request helps either."""

    def __init__(self, what: str, *, where: str, do: str, final: bool = False) -> None:
        super().__init__(what, where=where, do=do)
        self.final = final


class NotALayer(PortalError):
    """The address responds, but not as a layer of the declared feed type. Correct the address."""


class HarvestError(ZoningError):
    """The harvest could not be proven complete. Published data does not change."""


class HarvestIncomplete(HarvestError):
    """The number of rows received differs from the number that the portal states; the message has both."""

    is_temporary = True


class HarvestRunning(HarvestError):
    """Another process harvests the same feed, and did not end while this one waited."""

    is_temporary = True


class AcceptanceNeeded(HarvestError):
    """A tripwire failed; the message names it. Nothing is published until a person accepts the release."""

    @classmethod
    def of(cls, jurisdiction: str, feed: str, what: str) -> "AcceptanceNeeded":
        """The error of a held release, with the commands that decide about it."""
        return cls(
            what, where=f"{jurisdiction} {feed}", do=f"look at the portal, then {cls.advice(jurisdiction, feed)}"
        )

    @staticmethod
    def advice(jurisdiction: str, feed: str) -> str:
        """The commands that accept or discard a held release."""
        options = f"{jurisdiction} --feed {feed} --reason ..."
        return f"`zoning accept {options}` or `zoning discard {options}`"


class CoverStale(HarvestError):
    """The layer changed after its tiles were computed; materialize `tiles` again. `key`: a key that occurred twice."""

    def __init__(self, what: str, *, where: str, do: str, key: str | None = None) -> None:
        super().__init__(what, where=where, do=do)
        self.key = key

    is_temporary = True


class UndoneMeanwhile(HarvestError):
    """A rollback happened during the run. The next run compares its harvest with the data that is published then."""

    is_temporary = True


class NothingWaits(ZoningError):
    """There is nothing to accept, retry or discard."""


class NothingFound(ZoningError):
    """No object has, or ever had, this name."""


class FileRefused(ZoningError):
    """A downloaded file is invalid, unsafe to open, or larger than allowed."""


class MessageRefused(ZoningError):
    """A message does not match its published schema or its jurisdiction. A retry does not help."""


class FixRefused(ZoningError):
    """A fix of a row is impossible or would not help; it was not saved."""


class DocumentRefused(ZoningError):
    """A document is neither HTML nor a PDF with text, or reading it takes more than is allowed."""


class CertificateRefused(ZoningError):
    """A certificate or its key was changed, or they do not belong together."""


class CrsRefused(ZoningError):
    """The coordinates do not match the CRS that the portal or the jurisdiction file states."""


class TooManyRejections(ZoningError):
    """So many rows were rejected that publishing the rest would do harm."""


class RollbackRefused(ZoningError):
    """A later batch depends on the batch to undo. Roll back to a time instead, which undoes both."""


class Held(ZoningError):
    """An operator paused the jurisdiction, its host or everything. Fetched data is kept; nothing was published."""

    is_temporary = True


class DeliveryFailed(ZoningError):
    """A consumer did not accept a delivery; it is repeated. `is_final`: the consumer wants no further delivery."""

    is_temporary = True

    def __init__(self, what: str, *, where: str, do: str, wait_s: float | None = None, is_final: bool = False) -> None:
        super().__init__(what, where=where, do=do, wait_s=wait_s)
        self.is_final = is_final


class Stopping(ZoningError):
    """This process was asked to stop. Fetched and published data is kept; the same command continues from there."""

    is_temporary = True


class RunGivenUp(ZoningError):
    """A run was killed or did not start, and Dagster does not retry it. Data that it published stays."""

    is_temporary = True


class Defect(ZoningError):
    """An unexpected exception in this program. The message is for a bug report; nothing was published."""


class MachineRefused(ZoningError):
    """This machine refused an operation: its disk is full, or a permission is missing. A person must correct that."""


def machine_error(error: BaseException, where: str) -> MachineRefused | None:
    """Convert a failure of this machine to an error; None: another kind of failure. `where`: what was worked on."""
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
    """No database answers, and none can be started on this machine."""


class QueueUnavailable(StoreError):
    """The message broker does not answer, or answers with an error. Messages stay in the queue."""


class SchemaMismatch(StoreError):
    """The schema of the database and this program have different versions."""

    is_temporary = False


class HarvestMissing(StoreError):
    """Nothing is stored under this name; materialize the upstream asset."""

    is_temporary = False
