"""Take a run's result only when all of it holds: who made it, what it claims, and who was paid."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from silosynth.client.gateway.kept import KeepsRecords
from silosynth.client.gateway.verify import Doorkeeper, verify_plan
from silosynth.client.ledger import Ledger
from silosynth.client.policy import check_size
from silosynth.common.certificate import Certificate
from silosynth.common.errors import ApprovalPending, InvalidSampler, RunFailed, Untrusted
from silosynth.common.forest import ForestSampler, holds_forest, parse_forest
from silosynth.common.messages import Bundle, Receipt, Result, decode_receipt, request_prefix
from silosynth.common.plan import Plan
from silosynth.common.sampler import AnySampler, parse_sampler
from silosynth.common.trust import PublicKey, Purpose, plain_bytes, unseal

UNKNOWN = "sha256:" + "0" * 64
"""Stands for the plan of a result that could not be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """A result as it came, once it holds together; ``key`` signed it, where anything is signed."""

    data: bytes
    bundle: Bundle
    result: Result
    key: PublicKey | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Deliveries:
    """Check results against the plans that were approved here, and keep them."""

    door: Doorkeeper
    ledger: Ledger
    records: KeepsRecords | None

    def open(self, data: bytes) -> Delivered:
        """Return a result whose signature and digest hold; raise a SilosynthError otherwise."""
        check_size(len(data), max(d.policy.max_message_bytes for d in self.door.datasets.values()))
        identity = self.door.identity
        trusted = None if identity is None else tuple(sorted(identity.coordinators))
        return self.door.once(("result", data, trusted), lambda: _open(data, trusted=trusted))

    def keep(self, delivered: Delivered) -> None:
        """Check a result against its plan and keep it; raise unless all of it holds."""
        bundle, result = delivered.bundle, delivered.result
        if self.door.identity is None or self.records is None:
            _check_sampler(bundle, result)
            return
        sealed = self.records.plan(result.plan_digest)
        if sealed is None:
            raise ApprovalPending("a result of a plan that was not approved here was delivered")
        proposed = verify_plan(self.door, sealed, ended=True)
        if proposed.key != delivered.key:
            raise Untrusted("the result is signed by another key than its plan")
        if proposed.digest != result.plan_digest:  # a template is kept as its first epoch's plan
            raise RunFailed("the result is of a series, and of none of its epochs")
        given = self.door.once(
            ("receipts", delivered.data, proposed.digest),
            lambda: _check_result(bundle, result, plan=proposed.plan),
        )
        took_part = self.door.once(("silos", delivered.data), lambda: frozenset(result.silos))
        if self.door.silo in took_part:
            self._check_own(given.get(self.door.silo, ()), plan_digest=proposed.digest)
        self.records.keep_result(result.plan_digest, bundle=delivered.data, sampler=bundle.sampler)

    def _check_own(self, receipts: Collection[Receipt], *, plan_digest: str) -> None:
        """Raise RunFailed unless there is a receipt of each release that left under the plan.

        Asked only where the result says that this silo took part: a run that went on without it
        may have lost its releases.
        """
        given = {r.request_id for r in receipts}
        start = request_prefix(plan_digest)
        left = {r.request_id for r in self.ledger.releases() if r.request_id.startswith(start)}
        if given != left:
            raise RunFailed(
                f"the result holds {len(given)} receipts of this silo, which gave {len(left)} "
                "releases under the plan"
            )


def _open(data: bytes, *, trusted: Collection[PublicKey] | None) -> Delivered:
    """Return a result that one of ``trusted`` signed, where anything is signed."""
    bundle, key = Bundle.decode(data), None
    if trusted is not None:
        key = unseal(bundle.statement, purpose=Purpose.RESULT, trusted=trusted).key
    result = bundle.open(trusted=None if key is None else {key})
    return Delivered(data=data, bundle=bundle, result=result, key=key)


def _check_result(
    bundle: Bundle, result: Result, *, plan: Plan
) -> Mapping[str, tuple[Receipt, ...]]:
    """Return each silo's receipts; raise unless these, sampler and certificate are the plan's."""
    if not set(result.silos) <= set(plan.silos):
        raise RunFailed("the result names a silo that is not in its plan")
    sampler = _check_sampler(bundle, result)
    if sampler.schema.digest != plan.schema_digest:
        raise RunFailed("the sampler has another schema than the plan")
    check_certificate(result.certificate, plan)
    if not result.receipts.keys() <= plan.roster.keys():
        raise RunFailed("the result holds receipts of a silo that is not in its plan")
    digest = plan.digest
    return {
        silo: _read_receipts(texts, silo=silo, plan_digest=digest, key=plan.roster[silo])
        for silo, texts in sorted(result.receipts.items())
    }


def check_certificate(certificate: Certificate, plan: Plan) -> None:
    """Raise RunFailed unless ``certificate`` is the one that ``plan`` gives."""
    # The accountant's libraries are large, and a gateway that waits should not hold them.
    from silosynth.common.certificate import certify_plan, same_certificate

    if not same_certificate(certificate, certify_plan(plan)):
        raise RunFailed("the certificate is not the one that this silo works out from the plan")


def _check_sampler(bundle: Bundle, result: Result) -> AnySampler | ForestSampler:
    """Return the sampler once it is one, of the result's plan and with its certificate."""
    several = holds_forest(bundle.sampler)
    sampler = parse_forest(bundle.sampler) if several else parse_sampler(bundle.sampler)
    if sampler.plan_digest != result.plan_digest:
        raise InvalidSampler("the sampler is of another plan than the result")
    if sampler.certificate != result.certificate.model_dump(mode="json"):
        raise InvalidSampler("the sampler holds another certificate than the result")
    return sampler


def _read_receipts(
    texts: Collection[str], *, silo: str, plan_digest: str, key: PublicKey
) -> tuple[Receipt, ...]:
    """Return the receipts of one silo, each signed by it and made under ``plan``."""
    receipts = []
    for text in texts:
        try:
            data = plain_bytes(text)
        except ValueError:
            raise RunFailed("a receipt in the result is not base64") from None
        receipt = decode_receipt(data, trusted={key})
        if receipt.silo != silo or receipt.plan_digest != plan_digest:
            raise RunFailed("a receipt in the result is of another silo or plan")
        receipts.append(receipt)
    return tuple(receipts)
