"""The gateway: the only code of a silo that reads the data.

The walk of one request is one function, :meth:`Gateway.answer`: verify, charge, read, count,
noise, store, send. Nothing else in the project may call the noise sampler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial

import numpy as np

from silosynth.client.gateway.asked import (
    Asked,
    ask_families,
    ask_rows,
    learn_from,
    one_table,
)
from silosynth.client.gateway.datasets import Datasets
from silosynth.client.gateway.deliveries import UNKNOWN, Deliveries
from silosynth.client.gateway.kept import FindSampler, KeepsRecords
from silosynth.client.gateway.proposals import (
    Proposals,
    open_book,
    payers,
    unread_digest,
)
from silosynth.client.gateway.refusals import plain, public_error, refuse
from silosynth.client.gateway.verify import (
    Doorkeeper,
    VerifiedPlan,
    VerifiedRequest,
    charge_facts,
    verify_plan,
    verify_request,
    verify_step,
    with_inputs,
)
from silosynth.client.learning import Checkpoints
from silosynth.client.ledger import Ledger
from silosynth.client.noise import BitSource, SystemBits, add_noise
from silosynth.client.policy import Rules, SiloIdentity
from silosynth.client.sums import Once, SumMember, each_time
from silosynth.common.errors import Refused, SilosynthError
from silosynth.common.messages import (
    CHALLENGE_BYTES,
    Acknowledgement,
    AgreedSet,
    Answer,
    Identity,
    Left,
    Receipt,
    Release,
    SumReceipt,
    Verdict,
    answer_to,
    digest_cells,
    digest_sampler,
    encode_refusal,
    encode_release,
    encode_statement,
    tell_first,
)
from silosynth.common.trust import Purpose, purpose_of

_PLANS_AT_HAND = 4


class Gateway:
    """Own one silo's tables and ledger, and answer whoever speaks to it.

    With an identity, plans, requests and results are read from trusted keys alone, every plan
    needs approval, and all that leaves is signed. Without one, as in simulations, nothing is
    signed and every plan within the policy is answered.

    ``tell_operator`` gets sentences for the silo's own operator, which may speak of the data.
    """

    def __init__(
        self,
        *,
        silo: str,
        datasets: Datasets,
        ledger: Ledger,
        identity: SiloIdentity | None = None,
        rules: Rules | None = None,
        records: KeepsRecords | None = None,
        sums: SumMember | None = None,
        checkpoints: Checkpoints | None = None,
        samplers: FindSampler | None = None,
        bits: BitSource | None = None,
        tell_operator: Callable[[str], None] = lambda _: None,
        reached: Callable[[str], None] = lambda _: None,
        once: Once = each_time,
        left: Callable[[], Mapping[str, Left]] = dict,
    ) -> None:
        """Take what the gateway owns.

        Args:
            datasets: the tables by the names that plans give them.
            sums: the silo's part in secure sums; without it, plans with shared noise are refused.
            records: where approved plans and results are kept; needed with an identity.
            checkpoints: the pretrained ones that plans may start from; none by default.
            samplers: finds what a plan evaluates; by default, in what was delivered here.
            bits: a seam for tests of a single silo.
            reached: a seam for tests, called with the name of each step as it is reached.
            once: a seam for simulations, which read the same bytes for many silos.
            left: what is told to whoever asks of the budgets that are public; of none by default.
        """
        self._silo = silo
        rules = rules or Rules()
        self._door = Doorkeeper(
            silo=silo,
            datasets=dict(datasets),
            identity=identity,
            rules=rules,
            checkpoints=checkpoints or Checkpoints(),
            book=open_book(silo, identity, rules=rules, ledger=ledger),
            once=once,
            find_sampler=samplers or (lambda _: None if records is None else records.sampler(_)),
        )
        # Every request carries its whole plan. What held for these bytes once holds again, until a
        # roster changes: the policy stays as it is while the gateway runs, and approval is asked
        # of the ledger anew.
        self._verified = lru_cache(maxsize=_PLANS_AT_HAND)(self._verify)
        self._key = identity.key if identity else None
        self._ledger = ledger
        self._proposals = Proposals(
            door=self._door, ledger=ledger, records=records, tell_operator=tell_operator
        )
        self._deliveries = Deliveries(door=self._door, ledger=ledger, records=records)
        self._sums = sums
        self._bits = SystemBits() if bits is None else bits
        self._tell_operator = tell_operator
        self._tell_version = tell_first(tell_operator)
        self._reached = reached
        self._left = left

    def identify(self, challenge: bytes) -> bytes:
        """Return the silo's identity over a fresh challenge of 32 bytes, or a refusal."""
        if len(challenge) != CHALLENGE_BYTES:
            error = Refused(f"a challenge has {CHALLENGE_BYTES} bytes")
            return encode_refusal(refuse(error, silo=self._silo, request_id=None), key=self._key)
        wire = answer_to(challenge, tell=self._tell_version)
        statement = Identity(
            silo=self._silo, challenge=challenge.hex(), wire=wire, left=dict(self._left())
        )
        return encode_statement(statement, key=self._key)

    def propose(self, *, plan: bytes, receipts: Sequence[bytes] = ()) -> bytes:
        """Return the verdict on a plan; it spends nothing and reads no table.

        Guarantees: approved only by the policy's own rules or by a person's decision in the
        ledger. ``receipts`` of this silo that lie ahead of the ledger fence it.

        A change of a roster is proposed as a plan is; then ``receipts`` are what other silos said.
        """
        digest = unread_digest(plan)
        try:
            self._reached("received")
            if self._door.book is not None and purpose_of(plan) is Purpose.ROSTER:
                said = self._door.book.judge(plan, vouchers=receipts)
                self._reached("before-send")
                return encode_statement(said, key=self._key)
            proposed = self._verify_plan(plan)
            digest = proposed.digest
            if (table := one_table(proposed.dataset)) is not None:
                self._door.checkpoints.require(proposed.plan, table.schema)
            self._proposals.present_receipts(receipts)
            self._reached("verified")
            verdict = self._proposals.judge(proposed)
        except Exception as err:
            error = self._told(err, what=f"plan {digest}")
            verdict = Verdict(
                silo=self._silo,
                plan_digest=digest,
                answer=Answer.REFUSED,
                code=error.code,
                message=plain(error.message),
                hint=None if error.hint is None else plain(error.hint),
            )
        self._reached("before-send")
        return encode_statement(verdict, key=self._key)

    def answer(self, *, plan: bytes, request: bytes) -> bytes:
        """Return a release, or a refusal in public words.

        Guarantees: a release is charged durably before the table is read, and stored before it is
        returned. The same request gets the same bytes again without a charge; the same id with
        other content is refused. A refusal depends on public facts only.
        """
        request_id = None
        try:
            self._reached("received")
            proposed = self._verify_plan(plan)
            verified = verify_request(self._door, proposed, request)
            request_id = verified.id
            self._reached("verified")
            self._proposals.require_approval(proposed)
            data = self._release(with_inputs(self._door, verified))
        except Exception as err:
            error = self._told(err, what=f"request {request_id}")
            refusal = refuse(error, silo=self._silo, request_id=request_id)
            data = encode_refusal(refusal, key=self._key)
        self._reached("before-send")
        return data

    def agree(self, *, plan: bytes, step: bytes) -> bytes:
        """Return the silo's signed keys of a sum, or its signed vote on a set, or a refusal.

        Guarantees: only for an approved plan; it spends nothing and reads no table. The same step
        gets the same bytes again.
        """
        try:
            self._reached("received")
            proposed = self._verify_plan(plan)
            read = verify_step(self._door, proposed, step)
            self._reached("verified")
            self._proposals.require_approval(proposed)
            data = self._member().agree(proposed.plan, read)
        except Exception as err:
            error = self._told(err, what="a step towards a sum")
            refusal = refuse(error, silo=self._silo, request_id=None)
            data = encode_refusal(refusal, key=self._key)
        self._reached("before-send")
        return data

    def deliver(self, bundle: bytes) -> bytes:
        """Keep a run's result once all of it holds, and return the acknowledgement.

        Guarantees: kept durably before it is acknowledged; the same result again is acknowledged
        again. Not accepted: a result of another coordinator, of a plan that was not approved
        here, with another certificate than the plan gives, or without this silo's receipts.
        """
        plan_digest = UNKNOWN
        sampler_digest = self._door.once(("bundle", bundle), lambda: digest_sampler(bundle))
        accepted, message = True, None
        try:
            self._reached("received")
            delivered = self._deliveries.open(bundle)
            plan_digest = delivered.result.plan_digest
            sampler_digest = delivered.result.sampler_digest
            self._reached("verified")
            self._deliveries.keep(delivered)
        except Exception as err:
            accepted, message = False, plain(str(self._told(err, what="a delivered result")))
        statement = Acknowledgement(
            silo=self._silo,
            plan_digest=plan_digest,
            sampler_digest=sampler_digest,
            accepted=accepted,
            message=message,
        )
        self._reached("before-send")
        return encode_statement(statement, key=self._key)

    def _release(self, verified: VerifiedRequest) -> bytes:
        """Charge, read, count, noise, store: in this order, here and nowhere else."""
        request, proposed = verified.request, verified.proposed
        shared = proposed.plan.masked
        agreed = self._member().begin(proposed.plan, request) if shared else None
        stored = self._ledger.charge(
            verified.id,
            verified.digest,
            cost_units=verified.share.cost_units,
            rdp=verified.share.vector,
            scopes=payers(proposed),
            facts=charge_facts(verified, agreed=agreed),
            part=proposed.part,
        )
        if stored is not None:
            return self._stored(verified, stored)
        noised = self._noised(verified)
        cells, summed = (noised, None) if agreed is None else self._mask(verified, noised, agreed)
        self._reached("noised")
        receipt = Receipt(
            request_id=verified.id,
            request_hash=verified.digest,
            plan_digest=proposed.digest,
            silo=self._silo,
            cells=verified.cells,
            cells_digest=digest_cells(cells),
            cost_units=verified.share.cost_units,
            ledger_head=self._ledger.head,
            sum=summed,
            map_digest=proposed.dataset.map_digest,
        )
        data = encode_release(Release(receipt=receipt, marginals=cells), key=self._key)
        return self._stored(verified, self._ledger.store(verified.id, data))

    def _noised(self, verified: VerifiedRequest) -> tuple[np.ndarray, ...]:
        """Read the table; return marginals, or a round's sums of gradients, with noise."""
        plan, dataset = verified.proposed.plan, one_table(verified.proposed.dataset)
        noised = partial(add_noise, noise=verified.share.noise, bits=self._bits)
        if dataset is None:
            tables = verified.proposed.dataset
            answers = ask_families(tables, verified.request, phase=verified.phase)
            self._reached("counted")
            return noised(answers)
        judged = verified.judged
        edges = verified.request.edges if judged is None else judged.edges
        rows, schema = dataset.coded(edges, plan=plan)
        asked = Asked(
            rows=rows,
            schema=schema,
            plan=plan,
            request=verified.request,
            rows_per_person=min(plan.privacy.rows_per_person, dataset.policy.rows_per_person),
            plan_digest=verified.proposed.digest,
            cells=verified.cells,
            lacks=dataset.lacks,
            inputs=None if judged is None else judged.inputs,
            words=self._door.checkpoints.words(plan),
        )
        if verified.request.training is not None:
            learnt = learn_from(
                asked,
                bits=self._bits,
                add_noise=lambda clipped: noised([clipped])[0],
                checkpoints=self._door.checkpoints,
                tell_operator=self._tell_operator,
            )
            self._reached("counted")
            return (learnt,)
        counts = ask_rows(asked)
        self._reached("counted")
        return noised(counts)

    def _mask(
        self, verified: VerifiedRequest, noised: Sequence[np.ndarray], agreed: AgreedSet
    ) -> tuple[tuple[np.ndarray, ...], SumReceipt]:
        """Mask noised marginals for the set that was agreed on."""
        return self._member().mask(
            noised,
            plan=verified.proposed.plan,
            request=verified.request,
            agreed=agreed,
            share=verified.share,
        )

    def _stored(self, verified: VerifiedRequest, stored: bytes) -> bytes:
        """Return stored bytes, once the secret that masked them is dropped."""
        if verified.request.sum is not None:
            self._member().forget(verified.proposed.plan, verified.request)
        return stored

    def _member(self) -> SumMember:
        """Return the silo's part in sums; raise Refused where it takes none."""
        if self._sums is None:
            raise Refused("this silo takes no part in sums", hint="make a plan with own noise")
        return self._sums

    def _verify_plan(self, plan: bytes) -> VerifiedPlan:
        """Return a plan that holds by the rosters of now."""
        return self._verified(plan, len(self._ledger.rosters))

    def _verify(self, plan: bytes, rosters: int) -> VerifiedPlan:
        """Return a plan that holds, after so many changes of rosters."""
        return verify_plan(self._door, plan)

    def _told(self, error: Exception, *, what: str) -> SilosynthError:
        """Return what may be said of an error, and tell the operator what may not."""
        public = public_error(error)
        if public is not error:
            # The relay and Flower would send the text of an error on, and it may hold a value.
            self._tell_operator(f"{what}: {type(error).__name__}: {error}")
        return public
