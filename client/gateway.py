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
from silosynth.client.noise import BitSource, SystemBits, check_sigma2, discrete_gaussian
from silosynth.client.policy import Policy, check_message, check_request
from silosynth.common.codec import Codec
from silosynth.common.cost import gaussian_rho, rho_units
from silosynth.common.errors import InvalidTable, Refused, SchemaMismatch, SilosynthError
from silosynth.common.features import feature_map, merge_codes, sum_features
from silosynth.common.plan import (
    Phase,
    PhaseName,
    Plan,
    Request,
    count_cells,
    decode_plan,
    decode_request,
)
from silosynth.common.schema import Schema
from silosynth.common.wire import (
    Receipt,
    Release,
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Verified:
    """A request that the silo may answer, and what it costs."""

    plan: Plan
    request: Request
    phase: Phase
    cells: tuple[int, ...]
    cost_units: int


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
        bits: BitSource | None = None,
        tell_operator: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Take what the gateway owns; ``bits`` is a seam for tests of a single silo."""
        self._silo = silo
        self._schema = schema
        self._read = read
        self._ledger = ledger
        self._policy = policy
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
        try:
            verified = self._verify(plan, request)
            request_id = verified.request.id
            return self._release(verified)
        except SilosynthError as err:
            error = _public(err)
            if error is not err:
                self._tell_operator(f"request {request_id}: {err}")
        except Exception as err:
            # The relay and Flower would send the text of an error on, and it may hold a value.
            self._tell_operator(f"request {request_id}: {type(err).__name__}: {err}")
            error = _unreadable()
        return encode_refusal(refusal_for(error, silo=self._silo, request_id=request_id))

    def _verify(self, plan_bytes: bytes, request_bytes: bytes) -> _Verified:
        """Check a request against its plan, the schema and the policy, as data."""
        check_message(self._policy, plan_bytes, request_bytes)
        plan, request = decode_plan(plan_bytes), decode_request(request_bytes)
        if plan.schema_digest != self._schema.digest:
            raise SchemaMismatch(
                f"plan {plan.id} was made for another version of schema {plan.schema_name!r}",
                hint="give every silo the schema that the plan was made from",
            )
        if request.silo != self._silo:
            raise Refused(f"the request is for silo {request.silo!r}")
        domain = self._schema.domain
        cells = count_cells(request, plan=plan, domain=domain)
        check_request(self._policy, plan=plan, cells=cells, attributes=len(domain.attributes))
        phase = plan.phase(request.phase)
        check_sigma2(phase.sigma2)
        rho = len(cells) * gaussian_rho(
            sigma2=phase.sigma2, sensitivity=plan.privacy.rows_per_person * phase.bound
        )
        return _Verified(
            plan=plan, request=request, phase=phase, cells=cells, cost_units=rho_units(rho)
        )

    def _release(self, verified: _Verified) -> bytes:
        """Charge, read, count, noise, store: in this order, here and nowhere else."""
        request = verified.request
        stored = self._ledger.charge(request.id, request.digest, cost_units=verified.cost_units)
        if stored is not None:
            return stored
        counts = _ask(self._codes(), verified=verified, schema=self._schema)
        noised = _add_noise(counts, sigma2=verified.phase.sigma2, bits=self._bits)
        receipt = Receipt(
            request_id=request.id,
            request_hash=request.digest,
            plan_digest=verified.plan.digest,
            silo=self._silo,
            cells=verified.cells,
            cells_digest=digest_cells(noised),
            cost_units=verified.cost_units,
            ledger_head=self._ledger.head,
        )
        data = encode_release(Release(receipt=receipt, marginals=noised))
        return self._ledger.store(request.id, data)

    def _codes(self) -> tuple[np.ndarray, ...]:
        """Return the table's codes, reading it at the first call."""
        if self._columns is None:
            encoded = Codec(self._schema).encode(self._read())
            for note in encoded.notes:
                self._tell_operator(str(note))
            self._columns = encoded.codes
        return self._columns


def _ask(
    columns: Sequence[np.ndarray], *, verified: _Verified, schema: Schema
) -> Sequence[np.ndarray]:
    """Return what the request asks of the codes: counts, or a sum of random features."""
    request, features = verified.request, verified.plan.features
    levels, queries = request.groupings(), request.marginals()
    if features is None or request.phase is not PhaseName.EMBEDDING:
        return count_marginals(columns, domain=schema.domain, queries=queries, levels=levels)
    return [
        sum_features(
            feature_map(features, schema=schema, grouping=levels[query.level]),
            merge_codes(columns, domain=schema.domain, grouping=levels[query.level]),
        )
        for query in queries
    ]


def _add_noise(
    counts: Sequence[np.ndarray], *, sigma2: Fraction, bits: BitSource
) -> tuple[np.ndarray, ...]:
    """Add independent discrete Gaussian noise to every cell of every marginal."""
    sizes = [len(c) for c in counts]
    noise = discrete_gaussian(sigma2=sigma2, count=sum(sizes), bits=bits)
    pieces = np.split(noise, np.cumsum(sizes)[:-1])
    return tuple(c + n for c, n in zip(counts, pieces, strict=True))


def _public(error: SilosynthError) -> SilosynthError:
    """Replace an error about the table, which may speak of the data, by one that does not."""
    return _unreadable() if isinstance(error, InvalidTable) else error


def _unreadable() -> Refused:
    """Return the one refusal that stands for whatever went wrong with the data."""
    return Refused(
        "the table could not be counted", hint="ask the silo's operator, whose log says why"
    )
