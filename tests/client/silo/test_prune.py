"""A silo drops old results, and nothing that an answer, a recovery or a refusal needs."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from silosynth.client.silo.prune import old_results
from silosynth.common.messages import Release, digest_sampler
from tests.support.gateways.signed import Federation, make_sampler

NOW = datetime.now(UTC)


@pytest.fixture
def federation(tmp_path: Path) -> Federation:
    return Federation(directory=tmp_path)


def _files(folder: Path) -> dict[str, bytes]:
    """Return all files of a silo but the ledger's lock and journal."""
    found = (p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): p.read_bytes() for p in found}


def test_an_old_result_is_dropped_and_nothing_else_changes(federation: Federation) -> None:
    plan = federation.plan()
    state = Path(federation.policy.silo.directory)
    with federation.open() as silo:
        federation.approve_all()
        silo.gateway.propose(plan=federation.sealed(plan))
        first = silo.gateway.answer(plan=federation.sealed(plan), request=federation.request(plan))
        release = federation.read(first)
        assert isinstance(release, Release)
        result, sampler = federation.result(plan, release), make_sampler(plan)
        bundle = federation.bundle(result, sampler)
        assert federation.acknowledged(silo.gateway.deliver(bundle)).accepted
        kept = silo.records.result(plan.digest)
        assert kept is not None
        before = _files(state)

        # Young, it stays; old, it goes, while the gateway runs.
        assert old_results(federation.policy, before=NOW - timedelta(days=90)) == ()
        for path in kept.iterdir():
            os.utime(path, (0, 0))
        (old,) = old_results(federation.policy, before=NOW - timedelta(days=90))
        assert (old.plan, old.bytes) == (plan.digest, sum(p.stat().st_size for p in kept.iterdir()))
        old.drop()
        folder = str(kept.relative_to(state))
        left = _files(state)
        gone = {f"{folder}/result.bundle", f"{folder}/result.sampler"}
        assert set(before) - set(left) == gone
        assert set(left) - set(before) == {f"{folder}/dropped.sha256"}
        assert {n: b for n, b in before.items() if n not in gone}.items() <= left.items()
        assert old_results(federation.policy, before=NOW) == ()

        # The same request has the same answer, the same result is acknowledged, another is not.
        again = silo.gateway.answer(plan=federation.sealed(plan), request=federation.request(plan))
        assert again == first
        assert federation.acknowledged(silo.gateway.deliver(bundle)).accepted
        other = make_sampler(plan, certificate={"delta": 1e-7})
        assert other != sampler
        forged = federation.bundle(
            result.model_copy(update={"sampler_digest": digest_sampler(other)}), other
        )
        assert not federation.acknowledged(silo.gateway.deliver(forged)).accepted


def test_what_a_gateway_is_writing_is_left_alone(federation: Federation) -> None:
    state = Path(federation.policy.silo.directory)
    with federation.open():
        part = state / "results" / ".new-0123"
        part.mkdir()
        (part / "result.bundle").write_bytes(b"x")
        os.utime(part / "result.bundle", (0, 0))
        assert old_results(federation.policy, before=NOW) == ()
        assert part.is_dir()
