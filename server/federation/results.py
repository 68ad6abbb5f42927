"""What a run leaves: sampler, certificate and signed result, and the receipts of its silos."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from silosynth.common.certificate import certify_plan
from silosynth.common.digest import digest_of
from silosynth.common.errors import InvalidArgument, SilosynthError
from silosynth.common.files import fresh_file, write_text
from silosynth.common.messages import (
    Bundle,
    Release,
    Result,
    decode_release,
    digest_sampler,
    encode_receipt,
    encode_statement,
)
from silosynth.common.plan import EvaluationSettings, Plan, Renewal
from silosynth.common.trust import PublicKey, SigningKey
from silosynth.server.coordinator import Answered, State, make
from silosynth.server.driver import Reached, keep_last, read_last
from silosynth.server.federation.roster.chain import former_keys
from silosynth.server.federation.run_files import (
    RunFiles,
    keep_receipt,
    kept_receipts,
    runs_directory,
)
from silosynth.server.judging import write_judgement


def conclude(
    state: State,
    *,
    plan: Plan,
    files: RunFiles,
    key: SigningKey,
    keep: Callable[[str, bytes], None],
    reached: Reached,
) -> str:
    """Fit, put sampler, certificate and the signed result on disk; return the sampler's digest."""
    if plan.evaluation is not None:
        return _conclude_evaluation(state, plan.evaluation, files=files, keep=keep)
    reached("before-fit")
    made = make(state)
    reached("after-fit")
    reached("before-write")
    made.save(files.sampler)
    reached("sampler-written")
    certificate = made.certificate.model_dump(mode="json")
    text = json.dumps(certificate, indent=1, sort_keys=True) + "\n"
    write_text(files.certificate, text, force=True)
    sampler = files.sampler.read_bytes()
    result = Result(
        plan_digest=plan.digest,
        sampler_digest=digest_sampler(sampler),
        certificate=made.certificate,
        silos=state.silos,
        receipts=_keep_receipts(state, keep=keep),
    )
    statement = encode_statement(result, key=key)
    with fresh_file(files.bundle, force=True) as part:
        part.write_bytes(Bundle(statement=statement, sampler=sampler).encode())
    reached("after-write")
    return result.sampler_digest


def _conclude_evaluation(
    state: State,
    settings: EvaluationSettings,
    *,
    files: RunFiles,
    keep: Callable[[str, bytes], None],
) -> str:
    """Put what an evaluation found on disk; no sampler is made, so silos are handed nothing."""
    sampler = read_trained(files.path.parent, settings)
    write_judgement(state, sampler, files.path)
    certificate = certify_plan(state.plan).model_dump(mode="json")
    text = json.dumps(certificate, indent=1, sort_keys=True) + "\n"
    write_text(files.certificate, text, force=True)
    _keep_receipts(state, keep=keep)
    return settings.sampler


def read_trained(runs: Path, settings: EvaluationSettings | Renewal) -> bytes:
    """Return the sampler that a plan evaluates or renews, among a coordinator's runs.

    Raises InvalidArgument where none of them made it.
    """
    for run in sorted(runs.iterdir()) if runs.is_dir() else ():
        path = RunFiles(path=run).sampler
        if path.is_file() and digest_of(sampler := path.read_bytes()) == settings.sampler:
            return sampler
    raise InvalidArgument(
        "the sampler that the plan is about was made by no run of this coordinator",
        hint="do it where the run was made",
    )


def require_trained(home: Path, plan: Plan) -> None:
    """Raise InvalidArgument for a plan about a sampler of no run of this coordinator.

    Before anything is spent: at the end there would be answers and nothing to hold them against,
    or nothing to take the rest from.
    """
    about = plan.evaluation or plan.renews
    if about is not None:
        read_trained(runs_directory(home), about)


def keep_trained(home: Path, plan: Plan, files: RunFiles) -> None:
    """Keep the sampler that a plan renews with its run, which from then on stands by itself.

    Raises InvalidArgument as :func:`require_trained` does.
    """
    if plan.renews is None:
        require_trained(home, plan)
        return
    kept = read_last(files.path, plan=plan)
    if kept is None or digest_of(kept) != plan.renews.sampler:
        keep_last(files.path, read_trained(runs_directory(home), plan.renews))


def _keep_receipts(
    state: State, *, keep: Callable[[str, bytes], None]
) -> dict[str, tuple[str, ...]]:
    """Keep every silo's signed receipts here too, and return them in base64 for its peers."""
    receipts = {}
    for silo, releases in state.answers().items():
        encoded = [encode_receipt(release) for release in releases]
        for receipt in encoded:
            keep(silo, receipt)
        receipts[silo] = tuple(base64.b64encode(receipt).decode() for receipt in encoded)
    return receipts


def keep_answer(home: Path, plan: Plan, event: Answered) -> None:
    """Keep the receipt of a release, which proves where a silo's ledger was."""
    key = plan.roster[event.silo]
    try:
        answer = decode_release(event.data, trusted=(key,))
    except SilosynthError:
        return  # the state machine has named the silo
    if isinstance(answer, Release):
        keep_receipt_of(home, plan, event.silo, encode_receipt(answer))


def receipts_of(
    silo: str, *, home: Path, plan: Plan, federation: str, coordinator: PublicKey
) -> Sequence[bytes]:
    """Return the receipts that are kept of a silo, under its key and those that it had before."""
    before = former_keys(
        home,
        federation=federation,
        project=plan.project,
        silo=silo,
        coordinator=coordinator,
    )
    keys = (plan.roster[silo], *before)
    return [r for key in keys for r in kept_receipts(home, silo_key=key)]


def keep_receipt_of(home: Path, plan: Plan, silo: str, receipt: bytes) -> None:
    """Keep a receipt under its own hash."""
    name = hashlib.sha256(receipt).hexdigest()
    keep_receipt(home, silo_key=plan.roster[silo], receipt=receipt, name=name)
