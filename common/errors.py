"""The error tree.

    SilosynthError
    ├── InvalidInput            the user can mend it                      exit 4
    │   ├── InvalidArgument     a flag or a function argument
    │   ├── InvalidSchema       a schema, or a foreign file that describes one
    │   ├── InvalidPlan         a plan or a request made from it
    │   ├── InvalidPolicy       a silo's policy
    │   ├── InvalidMap          a map from a silo's own table to the schema
    │   ├── InvalidTable        a table that does not have the schema's columns
    │   ├── InvalidMeasurement  a measurement that cannot be fitted
    │   ├── InvalidSampler      a sampler file that is damaged or not ours
    │   ├── InvalidCheckpoint   a pretrained checkpoint that cannot be used, or is another one
    │   ├── InvalidAudit        an audit whose entries do not hold
    │   ├── InvalidCopy         a ledger's backup or mirror that does not hold
    │   └── OutputExists        a file is in the way
    ├── Refused                 the silo said no, for a stated public reason   exit 1
    │   ├── SchemaMismatch
    │   ├── BudgetExceeded
    │   ├── CapExceeded
    │   ├── ApprovalPending     a person of the silo has to approve the plan first
    │   ├── PlanRefused         a person of the silo, or its policy, refused the plan
    │   ├── WireVersion         coordinator and silo speak versions too far apart
    │   └── RequestConflict     same id, other content
    ├── Untrusted               not signed by a key that is trusted here           exit 2
    ├── RunFailed               the run cannot go on                      exit 1
    │   ├── SiloAbsent
    │   └── ModelTooLarge
    ├── LedgerUnavailable       the ledger cannot promise durability      exit 6
    ├── StorageFailed           a disk is full or cannot be written       exit 6
    ├── ConnectionFailed        no connection, or not authenticated       exit 2
    └── DeadlineExceeded        a phase ran out of time                   exit 3

Every message names what is wrong and the offending *public* value; ``hint`` says what to do.
Neither ever holds a data value.
"""

from __future__ import annotations

from typing import ClassVar

EXIT_BUG = 5
"""How a process ends by an error that is none of these."""


class SilosynthError(Exception):
    """Carry a message for a person, a remedy, and a code for a program."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return self.message if self.hint is None else f"{self.message}; {self.hint}"


class InvalidInput(SilosynthError):
    """What was given cannot be used as it is."""

    code = "invalid-input"
    exit_code = 4


class InvalidArgument(InvalidInput):
    """An argument is out of its range."""

    code = "invalid-argument"


class InvalidSchema(InvalidInput):
    """A schema, or a foreign description of one, is not usable."""

    code = "invalid-schema"


class InvalidPlan(InvalidInput):
    """A plan, or a request made from it, is not usable."""

    code = "invalid-plan"


class InvalidPolicy(InvalidInput):
    """A silo's policy is not usable."""

    code = "invalid-policy"


class InvalidMap(InvalidInput):
    """A map from a silo's own table to the schema is not usable."""

    code = "invalid-map"


class InvalidTable(InvalidInput):
    """A table does not have the columns or types that the schema declares."""

    code = "invalid-table"


class InvalidMeasurement(InvalidInput):
    """A measurement cannot be fitted."""

    code = "invalid-measurement"


class InvalidSampler(InvalidInput):
    """A sampler file is truncated, edited, oversized or of an unknown version."""

    code = "invalid-sampler"


class InvalidCheckpoint(InvalidInput):
    """A pretrained checkpoint is missing, not of a kind that is read, or another one."""

    code = "invalid-checkpoint"


class InvalidAudit(InvalidInput):
    """An audit is cut off, edited, or of an unknown version."""

    code = "invalid-audit"


class InvalidCopy(InvalidInput):
    """A ledger's backup or mirror is cut off, edited, of an unknown version, or another's."""

    code = "invalid-copy"


class OutputExists(InvalidInput):
    """An output file is in the way."""

    code = "output-exists"


class Refused(SilosynthError):
    """A silo refused a request, for a reason that holds no data."""

    code = "refused"


class SchemaMismatch(Refused):
    """The plan was made for another schema than the silo's."""

    code = "schema-mismatch"


class BudgetExceeded(Refused):
    """The request costs more than what is left."""

    code = "budget-exceeded"


class CapExceeded(Refused):
    """The request is larger than the policy allows."""

    code = "cap-exceeded"


class ApprovalPending(Refused):
    """A person has to approve the plan before this silo answers."""

    code = "approval-pending"


class PlanRefused(Refused):
    """A person of the silo, or its policy, refused the plan."""

    code = "plan-refused"


class WireVersion(Refused):
    """Who asks and who answers are more than one version of the messages apart."""

    code = "wire-version"


class RequestConflict(Refused):
    """A request id was used before with other content."""

    code = "request-conflict"


class Untrusted(SilosynthError):
    """A signature is missing, does not hold, or was made by a key that is not trusted here."""

    code = "untrusted"
    exit_code = 2


class RunFailed(SilosynthError):
    """The run cannot go on."""

    code = "run-failed"


class SiloAbsent(RunFailed):
    """A silo did not answer, and the plan says to stop then."""

    code = "silo-absent"


class ModelTooLarge(RunFailed):
    """The model needs more memory than was granted."""

    code = "model-too-large"


class LedgerUnavailable(SilosynthError):
    """The ledger cannot promise that a charge is durable; everything is refused."""

    code = "ledger-unavailable"
    exit_code = 6


class StorageFailed(SilosynthError):
    """A disk is full, read-only or broken, or this user may not write there."""

    code = "storage-failed"
    exit_code = 6


class ConnectionFailed(SilosynthError):
    """No connection, or the other side did not accept our identity."""

    code = "connection-failed"
    exit_code = 2


class DeadlineExceeded(SilosynthError):
    """A phase ran out of time."""

    code = "deadline-exceeded"
    exit_code = 3


def error_of(code: str) -> type[SilosynthError]:
    """Return the kind of error that a code stands for; SilosynthError when it is not known."""
    kinds = {
        kind.code: kind
        for kind in globals().values()
        if isinstance(kind, type) and issubclass(kind, SilosynthError)
    }
    return kinds.get(code, SilosynthError)
