"""Put a silo together from its policy: key, ledger, tables and gateway."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from silosynth.client.gateway import AnyDataset, Gateway, Records
from silosynth.client.learning import Checkpoints
from silosynth.client.ledger import Ledger
from silosynth.client.noise import BitSource
from silosynth.client.policy import CheckpointSection, PolicyFile, SiloIdentity
from silosynth.client.roster import RosterBook
from silosynth.client.silo.lives import begin_life, noted_heads
from silosynth.client.silo.rows.datasets import CACHE, forget_spilled, open_datasets
from silosynth.client.source import StreamRows, forget_codes
from silosynth.client.sums import SUMS, SumMember, SumStore
from silosynth.common.audit import Scope, ScopeKind
from silosynth.common.errors import InvalidCheckpoint, InvalidPolicy, LedgerUnavailable
from silosynth.common.generator import digest_checkpoint
from silosynth.common.messages import Left
from silosynth.common.trust import SigningKey

LEDGER = "ledger.sqlite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Silo:
    """A silo at work: its policy, its open ledger, and its gateway."""

    policy: PolicyFile
    key: SigningKey
    ledger: Ledger
    records: Records
    gateway: Gateway
    datasets: Mapping[str, AnyDataset]

    def forget_stale(self) -> None:
        """Drop what is held, in memory and on the disk, of rows that are no longer in their tables.

        Counting looks for itself; this is for rows that nobody asks for again.
        """
        places = Path(self.policy.silo.directory) / CACHE
        for folder in [f for f in places.glob("*") if f.name not in self.datasets]:
            forget_codes(folder, lifetime=None)
        for name, dataset in self.datasets.items():
            if isinstance(dataset.rows, StreamRows):
                dataset.rows.forget_stale()
            else:
                forget_codes(places / name, lifetime=None)


def ledger_path(policy: PolicyFile) -> Path:
    """Return where a silo's ledger is."""
    return Path(policy.silo.directory) / LEDGER


@contextmanager
def open_silo(
    policy: PolicyFile,
    *,
    bits: BitSource | None = None,
    tell_operator: Callable[[str], None] = lambda _: None,
    reached: Callable[[str], None] = lambda _: None,
    opened: Callable[[Mapping[str, AnyDataset]], None] = lambda _: None,
) -> Iterator[Silo]:
    """Open a silo's ledger and gateway, and close the ledger afterwards. No table is read yet.

    Codes that were kept on disk of a table that has changed since are removed.

    Args: bits, reached: seams for tests. opened: is given the data sets before there is a ledger.
    Raises InvalidPolicy, InvalidArgument or InvalidSchema when a file of the policy is not as it
    says, LedgerUnavailable when the ledger cannot be used.
    """
    key = load_identity(policy)
    identity = SiloIdentity(
        key=key, coordinators=policy.consumers(), former=policy.silo.previous_keys
    )
    datasets = open_datasets(policy, tell_operator=tell_operator)
    opened(datasets)
    records = Records(Path(policy.silo.directory))
    with Ledger.open(
        ledger_path(policy),
        caps=policy.scope_caps(),
        recoveries=noted_heads(Path(policy.silo.directory)),
        mirror=policy.mirror(),
        reached=reached,
    ) as ledger:
        begin_life(Path(policy.silo.directory))
        forget_spilled(policy)
        RosterBook(
            silo=policy.silo.name, identity=identity, rules=policy.rules(), ledger=ledger
        ).check()
        gateway = Gateway(
            silo=policy.silo.name,
            datasets=datasets,
            ledger=ledger,
            identity=identity,
            rules=policy.rules(),
            records=records,
            sums=SumMember(
                silo=policy.silo.name,
                store=SumStore(Path(policy.silo.directory) / SUMS),
                key=key,
            ),
            checkpoints=Checkpoints(policy.checkpoint_folders()),
            bits=bits,
            tell_operator=tell_operator,
            reached=reached,
            left=partial(public_left, policy, ledger),
        )
        silo = Silo(
            policy=policy,
            key=key,
            ledger=ledger,
            records=records,
            gateway=gateway,
            datasets=datasets,
        )
        silo.forget_stale()
        yield silo


def public_left(policy: PolicyFile, ledger: Ledger) -> dict[str, Left]:
    """Return what is left of the projects whose budgets the policy makes public.

    Of none while the ledger cannot be used: who this silo is is said all the same, so that its
    verdict on a plan can name what is wrong.
    """
    public = [project for project in policy.projects if project.public_budget]
    scopes = [Scope(kind=ScopeKind.PROJECT, name=project.name) for project in public]
    try:
        left = [max(0, ledger.remaining(scope)) for scope in scopes]
    except LedgerUnavailable:
        return {}
    return {
        project.name: Left(
            share=units / project.budget.cap.units,
            epsilon=project.budget.epsilon,
            delta=project.budget.delta,
        )
        for project, units in zip(public, left, strict=True)
    }


def check_files(policy: PolicyFile) -> None:
    """Raise unless key, secret, schemas, tables and ledger are there and as the policy says.

    No table is read and the ledger is not opened: another process may be at work with it.
    """
    load_identity(policy)
    open_datasets(policy, tell_operator=lambda _: None)
    for section in policy.datasets:
        for path in [p for p in section.paths if not p.exists()]:
            raise InvalidPolicy(
                f"dataset {section.name!r}: there is nothing at {path}", hint="correct its path"
            )
    for checkpoint in policy.checkpoints:
        _check_checkpoint(checkpoint)
    ledger = ledger_path(policy)
    if not ledger.is_file():
        raise LedgerUnavailable(f"there is no ledger at {ledger}", hint="run 'silo new-ledger'")
    if ledger.stat().st_mode & 0o077:
        raise InvalidPolicy(
            f"{ledger} can be read by other users", hint=f"run 'chmod 600 {ledger}'"
        )


def _check_checkpoint(section: CheckpointSection) -> None:
    """Raise InvalidPolicy unless a checkpoint has the digest of the policy."""
    try:
        digest = digest_checkpoint(Path(section.path))
    except InvalidCheckpoint as err:
        raise InvalidPolicy(f"checkpoints: {err.message}", hint=err.hint) from err
    if digest != section.digest:
        raise InvalidPolicy(
            f"checkpoints: {section.path} is not the one whose digest the policy states",
            hint=f"if it was meant to change, write {digest}",
        )


def load_identity(policy: PolicyFile) -> SigningKey:
    """Return the silo's key; raise InvalidPolicy when a roster names another one for it.

    One that it had before may stand there: the change to the new one is then in the ledger, or is
    yet to be approved.
    """
    key = SigningKey.load(Path(policy.silo.key))
    own = {key.public, *policy.silo.previous_keys}
    for project in policy.projects:
        if project.roster[policy.silo.name] not in own:
            raise InvalidPolicy(
                f"the roster of project {project.name!r} names another key for this silo",
                hint=f"this silo's public key is {key.public}",
            )
    return key
