"""The gateway: the only code of a silo that reads the data.

The walk of one request is one function, :meth:`Gateway.answer`: verify, charge, read, count,
noise, store, send. Nothing else in the project may call the noise sampler.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

import numpy as np
import pyarrow as pa

from silosynth.client.count import count_marginals
from silosynth.client.ledger import Ledger
from silosynth.client.noise import BitSource, SystemBits, discrete_gaussian
from silosynth.client.noise_share import NoiseShare, noise_share
from silosynth.client.policy import Policy, check_message, check_request
from silosynth.client.secure_sum import SumMember
from silosynth.common.codec import Codec
from silosynth.common.errors import InvalidTable, Refused, SchemaMismatch, SilosynthError
from silosynth.common.plan import Phase, Plan, Request, count_cells, decode_plan, decode_request
from silosynth.common.schema import Schema
from silosynth.common.secure_sum import AgreedSet, SumStep, decode_sum_statement
from silosynth.common.wire import (
    Receipt,
    Release,
    SumReceipt,
    digest_cells,
    encode_refusal,
    encode_release,
    refusal_for,
)


class AnswersRequests(Protocol):
    """What a relay needs: bytes of a plan and a request in, bytes of a release or refusal out."""

    def answer(self, *, plan: bytes, request: bytes) -> bytes:
        """Return the bytes to send to the coordinator."""
        ...

    def agree(self, *, plan: bytes, step: bytes) -> bytes:
        """Return the silo's keys of a sum, or its vote on who takes part."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verified:
    """A request that the silo may answer, and what it costs."""

    plan: Plan
    request: Request
    phase: Phase
    cells: tuple[int, ...]
    share: NoiseShare
    agreed: AgreedSet | None


class Gateway:
    """Own one silo's table, codes and ledger, and answer requests.

    ``read`` is called after the first charge and not before; the codes are kept for later phases.
    ``tell_operator`` gets sentences for the silo's own operator, which may speak of the data.
    """

    def __init__(
        self,
        *,
        silo: str,
        schema: Schema,
        read: Callable[[], pa.Table],
        ledger: Ledger,
        policy: Policy,
        sums: SumMember | None = None,
        bits: BitSource | None = None,
        tell_operator: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Take what the gateway owns; ``bits`` is a seam for tests of a single silo."""
        self._silo = silo
        self._schema = schema
        self._read = read
        self._ledger = ledger
        self._policy = policy
        self._sums = sums
        self._bits = SystemBits() if bits is None else bits
        self._tell_operator = tell_operator
        self._columns: tuple[np.ndarray, ...] | None = None

    def answer(self, *, plan: bytes, request: bytes) -> bytes:
        """Return a release, or a refusal in public words.

        Guarantees: a release is charged durably before the table is read, and stored before it is
        returned. The same request gets the same bytes again without a charge; the same id with
        other content is refused. A refusal depends on public facts only.
        """
        request_id = None

        def work() -> bytes:
            nonlocal request_id
            verified = self._verify(plan, request)
            request_id = verified.request.id
            return self._release(verified)

        return self._refusing(work, name=lambda: request_id)

    def agree(self, *, plan: bytes, step: bytes) -> bytes:
        """Return the silo's keys of a sum, or its vote on a set, or a refusal. Spends nothing."""

        def work() -> bytes:
            check_message(self._policy, plan, step)
            parsed = decode_plan(plan)
            self._check_schema(parsed)
            read = decode_sum_statement(step, SumStep, trusted=None)
            return self._member().agree(parsed, read)

        return self._refusing(work, name=lambda: None)

    def _refusing(self, work: Callable[[], bytes], *, name: Callable[[], str | None]) -> bytes:
        """Return what ``work`` makes, or a refusal in public words."""
        try:
            return work()
        except SilosynthError as err:
            request_id = name()
            error = _public(err)
            if error is not err:
                self._tell_operator(f"request {request_id}: {err}")
        except Exception as err:
            request_id = name()
            # The relay and Flower would send the text of an error on, and it may hold a value.
            self._tell_operator(f"request {request_id}: {type(err).__name__}: {err}")
            error = _unreadable()
        return encode_refusal(refusal_for(error, silo=self._silo, request_id=request_id))

    def _verify(self, plan_bytes: bytes, request_bytes: bytes) -> _Verified:
        """Check a request against its plan, the schema and the policy, as data."""
        check_message(self._policy, plan_bytes, request_bytes)
        plan, request = decode_plan(plan_bytes), decode_request(request_bytes)
        self._check_schema(plan)
        if request.silo != self._silo:
            raise Refused(f"the request is for silo {request.silo!r}")
        domain = self._schema.domain
        cells = count_cells(request, plan=plan, domain=domain)
        check_request(self._policy, plan=plan, cells=cells, attributes=len(domain.attributes))
        phase = plan.phase(request.phase)
        share = noise_share(plan, phase, marginals=len(cells))
        agreed = None if request.sum is None else self._member().begin(plan, request)
        return _Verified(
            plan=plan, request=request, phase=phase, cells=cells, share=share, agreed=agreed
        )

    def _check_schema(self, plan: Plan) -> None:
        """Raise SchemaMismatch unless the plan was made for this silo's schema."""
        if plan.schema_digest != self._schema.digest:
            raise SchemaMismatch(
                f"plan {plan.id} was made for another version of schema {plan.schema_name!r}",
                hint="give every silo the schema that the plan was made from",
            )

    def _member(self) -> SumMember:
        """Return the silo's part in sums; raise Refused where it takes none."""
        if self._sums is None:
            raise Refused("this silo takes no part in sums", hint="use own noise")
        return self._sums

    def _release(self, verified: _Verified) -> bytes:
        """Charge, read, count, noise, store: in this order, here and nowhere else."""
        request = verified.request
        stored = self._ledger.charge(
            request.id,
            request.digest,
            cost_units=verified.share.cost_units,
            facts=_facts(verified),
        )
        if stored is not None:
            return self._sent(verified, stored)
        counts = count_marginals(
            self._codes(),
            domain=self._schema.domain,
            queries=request.marginals(),
            levels=request.groupings(),
        )
        noised = _add_noise(counts, sigma2=verified.share.sigma2, bits=self._bits)
        cells, summed = self._mask(verified, noised)
        receipt = Receipt(
            request_id=request.id,
            request_hash=request.digest,
            plan_digest=verified.plan.digest,
            silo=self._silo,
            cells=verified.cells,
            cells_digest=digest_cells(cells),
            cost_units=verified.share.cost_units,
            ledger_head=self._ledger.head,
            sum=summed,
        )
        data = encode_release(Release(receipt=receipt, marginals=cells))
        return self._sent(verified, self._ledger.store(request.id, data))

    def _mask(
        self, verified: _Verified, noised: tuple[np.ndarray, ...]
    ) -> tuple[tuple[np.ndarray, ...], SumReceipt | None]:
        """Mask what leaves in shared trust; in own trust it leaves as it is."""
        if verified.agreed is None:
            return noised, None
        return self._member().mask(
            noised,
            plan=verified.plan,
            request=verified.request,
            agreed=verified.agreed,
            share=verified.share,
        )

    def _sent(self, verified: _Verified, stored: bytes) -> bytes:
        """Return stored bytes once the secret that masked them is dropped."""
        if verified.agreed is not None:
            self._member().forget(verified.plan, verified.request)
        return stored

    def _codes(self) -> tuple[np.ndarray, ...]:
        """Return the table's codes, reading it at the first call."""
        if self._columns is None:
            encoded = Codec(self._schema).encode(self._read())
            for note in encoded.notes:
                self._tell_operator(str(note))
            self._columns = encoded.codes
        return self._columns


def _add_noise(
    counts: Sequence[np.ndarray], *, sigma2: Fraction, bits: BitSource
) -> tuple[np.ndarray, ...]:
    """Add independent discrete Gaussian noise to every cell of every marginal."""
    sizes = [len(c) for c in counts]
    noise = discrete_gaussian(sigma2=sigma2, count=sum(sizes), bits=bits)
    pieces = np.split(noise, np.cumsum(sizes)[:-1])
    return tuple(c + n for c, n in zip(counts, pieces, strict=True))


def _facts(verified: _Verified) -> dict[str, str | int]:
    """Return what the ledger records beside a charge: in shared trust, the cost alone."""
    if verified.agreed is None:
        return {}
    return {
        "session": verified.agreed.session,
        "set": verified.agreed.digest,
        "alone_units": verified.share.alone_units,
    }


def _public(error: SilosynthError) -> SilosynthError:
    """Replace an error about the table, which may speak of the data, by one that does not."""
    return _unreadable() if isinstance(error, InvalidTable) else error


def _unreadable() -> Refused:
    """Return the one refusal that stands for whatever went wrong with the data."""
    return Refused(
        "the table could not be counted", hint="ask the silo's operator, whose log says why"
    )
