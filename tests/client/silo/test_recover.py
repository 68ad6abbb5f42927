"""A lost ledger comes back with all charged that may have been spent, whichever file was lost."""

from __future__ import annotations

import copy
import json
import shutil
from base64 import b64decode
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import tomli_w

from silosynth.client.desk import Command, Desk, Question
from silosynth.client.desk import desk as desk_module
from silosynth.client.ledger import CopyKind, begin, fence_path, read_copy, record
from silosynth.client.ledger.mirror import mirror_note
from silosynth.client.silo import Basis, Recovery, check_copy, find, ledger_path, write_recovery
from silosynth.client.silo.recover import recover
from silosynth.client.sums import SumMember, SumStore
from silosynth.common.audit import Cap, Parted, Scope, Side, Verdict, verify_audit
from silosynth.common.cli.app import run
from silosynth.common.errors import (
    BudgetExceeded,
    InvalidCopy,
    LedgerUnavailable,
    OutputExists,
    SilosynthError,
)
from silosynth.common.messages import Refusal, Release, encode_receipt
from silosynth.common.plan import Plan, parse_plan, plan_price
from silosynth.common.trust import Purpose, SigningKey, unseal
from silosynth.server.planning import new_plan
from tests.client.gateway.test_gateway_sums import Sum
from tests.support.gateways.joining import asks, decides, gains, proposes, roster_of
from tests.support.gateways.serving import Serving
from tests.support.gateways.signed import Federation, people
from tests.support.power import forgetful_disk
from tests.support.tables.canary import holds_token

Spent = dict[Scope, int]
AT = "2026-03-01T00:00:00+00:00"


class Site:
    """Own a silo with a day behind it: a backup at noon, and a release after it."""

    def __init__(self, directory: Path, *, mirror: bool) -> None:
        directory.mkdir()
        self.home = directory
        self.federation = Federation(directory=directory)
        self.mirror = directory / "mirrors" / "north.mirror"
        if mirror:
            self.mirror.parent.mkdir()
            self.federation.change(ledger={"mirror": str(self.mirror)})
        self.path = Path(directory / "north" / "silo.toml")
        self.write_policy()
        self.backup = directory / "noon.ledger"
        self.audit = directory / "evening.audit"
        self.receipts = directory / "from hub"
        self.receipts.mkdir()
        self.morning, self.later = self.federation.plan(id="m"), self.federation.plan(id="l")
        with self.federation.open() as silo:
            self.federation.release(silo, self.morning)
        assert self.command("backup", str(self.backup)) == 0
        with self.federation.open() as silo:
            self.release = self.federation.release(silo, self.later)
            self.spent = dict(silo.ledger.verify().spent)
            self.orders = dict(silo.ledger.verify().orders)
            self.account = silo.ledger.verify()
        assert self.command("export-audit", str(self.audit)) == 0
        (self.receipts / "l.receipt").write_bytes(encode_receipt(self.release))
        self.ledger = ledger_path(self.federation.policy)

    @property
    def sums(self) -> Path:
        return Path(self.federation.policy.silo.directory) / "sums"

    def grant(self, epsilon: float) -> None:
        """Give every budget another size."""
        data = self.federation.policy.model_dump(mode="json", by_alias=True)
        for section in ("datasets", "coordinators", "projects"):
            for entry in data[section]:
                entry["budget"] = {"epsilon": epsilon, "delta": 1e-6}
        self.federation.policy = type(self.federation.policy).model_validate(data)

    def write_policy(self) -> None:
        data = self.federation.policy.model_dump(mode="json", by_alias=True, exclude_none=True)
        self.path.write_text(tomli_w.dumps(data))

    def command(self, *words: str) -> int:
        return run(["silo", *words, "--policy", str(self.path)])

    def find(self, *copies: Path, audit: bool = False, receipts: bool = True) -> Any:
        return find(
            key=self.federation.north.public,
            copies=copies,
            audits=[self.audit] if audit else (),
            receipts=[self.receipts] if receipts else (),
        )

    def recover(
        self, *copies: Path, basis: Basis | None = None, newest: bool = False, **found: bool
    ) -> Recovery:
        """Put the ledger back."""
        recovery = recover(
            self.federation.policy,
            self.find(*copies, **found),
            basis=basis,
            by="anna",
            at=AT,
            newest=newest,
        )
        self.told: list[str] = []
        write_recovery(recovery, tell=self.told.append)
        return recovery

    def prices(self) -> Spent:
        """Return what both plans cost each scope in full."""
        with self.federation.open() as silo:
            orders = {s: silo.ledger.order(s) for s in self.spent}
        plans = (self.morning, self.later)
        return {s: sum(plan_price(p, order=o) for p in plans) for s, o in orders.items()}

    def again(self, plan: Plan) -> Release | Refusal:
        """Ask the first phase of a plan once more, once it is approved."""
        with self.federation.open() as silo:
            self.federation.decide(silo, plan, Verdict.APPROVED)
            data = silo.gateway.answer(
                plan=self.federation.sealed(plan), request=self.federation.request(plan)
            )
        return self.federation.read(data)


class Shelf:
    """Own two silos with a day behind them, and put them back as they were for each test."""

    def __init__(self, directory: Path) -> None:
        self._kept = directory / "kept"
        self.sites = {m: Site(directory / f"mirrored-{m}", mirror=m) for m in (False, True)}
        for mirror, site in self.sites.items():
            shutil.copytree(site.home, self._kept / str(mirror))

    def fresh(self, *, mirror: bool) -> Site:
        """Return a silo as it was at the end of its day."""
        site = self.sites[mirror]
        shutil.rmtree(site.home)
        shutil.copytree(self._kept / str(mirror), site.home)
        again = copy.copy(site)
        again.federation = copy.copy(site.federation)
        return again


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    return Shelf(tmp_path_factory.mktemp("shelf"))


@pytest.fixture
def site(shelf: Shelf) -> Site:
    return shelf.fresh(mirror=False)


@pytest.fixture
def mirrored(shelf: Shelf) -> Site:
    return shelf.fresh(mirror=True)


def test_a_mirrored_ledger_ends_in_the_very_sum_and_answers_as_before(mirrored: Site) -> None:
    mirrored.ledger.unlink()
    mirrored.sums.mkdir()
    recovery = mirrored.recover(mirrored.mirror)
    assert recovery.basis is Basis.MIRROR
    assert mirrored.sums.exists()
    assert mirrored.told == []
    assert recovery.account == mirrored.account
    assert recovery.account.spent == mirrored.spent
    answer = mirrored.again(mirrored.later)
    assert isinstance(answer, Release)
    assert answer.receipt == mirrored.release.receipt


def test_a_restored_ledger_is_charged_every_approved_plan_in_full(site: Site) -> None:
    prices = site.prices()
    site.ledger.unlink()
    recovery = site.recover(site.backup, basis=Basis.PLANS)
    assert recovery.account.spent == prices
    assert all(prices[s] >= spent for s, spent in site.spent.items())


def test_a_restored_ledger_whose_plans_are_not_known_has_nothing_left(site: Site) -> None:
    site.ledger.unlink()
    recovery = site.recover(site.backup)
    assert recovery.basis is Basis.ALL
    assert recovery.account.spent == recovery.account.caps
    with site.federation.open() as silo:
        assert {silo.ledger.remaining(s) for s in site.spent} == {0}
        verdict = site.federation.verdict(
            silo.gateway.propose(plan=site.federation.sealed(site.federation.plan(id="new")))
        )
        assert verdict.code == "budget-exceeded"


@pytest.mark.parametrize("first", [Side.TRAINING, Side.EVALUATION])
def test_nobody_pays_twice_what_a_lost_evaluation_may_have_taken(
    site: Site, tmp_path: Path, first: Side
) -> None:
    """The part that pays less may have paid up to the other, for nothing, before the loss."""
    other = next(side for side in Side if side is not first)
    noon = tmp_path / "full.ledger"
    with site.federation.open() as silo:
        ledger, (scope, *_) = silo.ledger, sorted(site.spent)
        cap, rest = ledger.verify().caps[scope], ledger.remaining(scope)
        terms: Any = {"cost_units": rest, "scopes": (scope,)}
        ledger.charge("first", "h", part=Parted(split="s", side=first), **terms)
        ledger.store("first", b"released")
    assert site.command("backup", str(noon)) == 0
    with site.federation.open() as silo:
        silo.ledger.charge("lost", "h", part=Parted(split="s", side=other), **terms)
        silo.ledger.store("lost", b"released too")
    site.ledger.unlink()
    recovery = site.recover(noon, basis=Basis.ALL)
    assert recovery.charged[scope] == rest
    assert recovery.account.spent[scope] == recovery.account.caps[scope] == cap + rest
    with site.federation.open() as silo:
        for part in (Parted(split="s", side=other), Parted(split="s", side=first), None):
            with pytest.raises(BudgetExceeded):
                silo.ledger.charge("again", "h", part=part, **terms)
        site.ledger.unlink()
    again = site.recover(noon, basis=Basis.ALL)
    assert again.charged == recovery.charged


def test_a_ledger_of_which_nothing_is_left_has_nothing_left_to_spend(site: Site) -> None:
    site.ledger.unlink()
    shutil.rmtree(Path(site.federation.policy.silo.directory) / "plans")
    recovery = site.recover()
    caps = {s: c.units for s, c in site.federation.policy.scope_caps().items()}
    assert recovery.account.spent == recovery.account.caps == caps


def test_what_was_granted_after_a_loss_can_be_spent_and_no_more(site: Site) -> None:
    site.ledger.unlink()
    site.recover()
    caps = {s: c.units for s, c in site.federation.policy.scope_caps().items()}
    more = {"budget": {"epsilon": 5.0, "delta": 1e-6}}
    data = site.federation.policy.model_dump(mode="json", by_alias=True)
    data["datasets"][0] |= more
    data["coordinators"][0] |= more
    data["projects"][0] |= more
    site.federation.policy = type(site.federation.policy).model_validate(data)
    with site.federation.open() as silo:
        for scope, cap in site.federation.policy.scope_caps().items():
            order = site.orders[scope]
            assert None not in (order, cap.order)
            assert order > cap.order
            taken = -(-caps[scope] * order // cap.order)
            assert 0 < silo.ledger.remaining(scope) == cap.units - taken
            ledger = silo.ledger
            ledger.grant({scope: Cap(units=cap.units, order=order + 1)})
            assert ledger.remaining(scope) == 0


@pytest.mark.parametrize("basis", [Basis.PLANS, Basis.ALL])
def test_what_was_answered_is_not_drawn_again_and_its_receipt_fences_nobody(
    site: Site, basis: Basis
) -> None:
    site.ledger.unlink()
    recovery = site.recover(site.backup, basis=basis)
    assert recovery.account.lost == {site.release.receipt.request_id}
    refusal = site.again(site.later)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "request-conflict"
    assert isinstance(site.again(site.morning), Release)
    with site.federation.open() as silo:
        verdict = site.federation.verdict(
            silo.gateway.propose(
                plan=site.federation.sealed(site.later),
                receipts=[encode_receipt(site.release)],
            )
        )
    assert verdict.code != "ledger-unavailable"


def test_a_request_that_was_charged_at_the_backup_may_have_been_answered_since(
    site: Site, tmp_path: Path
) -> None:
    plan = site.federation.plan(id="open")

    def stop(step: str) -> None:
        if step == "after-charge":
            raise LedgerUnavailable("stopped here")

    with site.federation.open(reached=stop) as silo:
        silo.gateway.propose(plan=site.federation.sealed(plan))
        silo.gateway.answer(
            plan=site.federation.sealed(plan), request=site.federation.request(plan)
        )
    late = tmp_path / "late.ledger"
    assert site.command("backup", str(late)) == 0
    site.ledger.unlink()
    recovery = site.recover(late, basis=Basis.PLANS)
    assert len(recovery.account.lost) == 1
    assert isinstance(site.again(plan), Refusal)


def test_a_receipt_that_turns_up_later_fences_and_is_taken_in(site: Site) -> None:
    site.ledger.unlink()
    first = site.recover(site.backup, basis=Basis.PLANS, receipts=False)
    with site.federation.open() as silo:
        verdict = site.federation.verdict(
            silo.gateway.propose(
                plan=site.federation.sealed(site.later),
                receipts=[encode_receipt(site.release)],
            )
        )
        assert verdict.code == "ledger-unavailable"
    with pytest.raises(LedgerUnavailable, match="fenced"), site.federation.open():
        pass
    with pytest.raises(OutputExists):
        site.recover(site.backup)
    aside = site.ledger.rename(site.ledger.with_name("fenced.sqlite"))
    with pytest.raises(SilosynthError, match="fence names answers"):
        site.recover(aside, basis=Basis.PLANS, receipts=False, newest=True)
    second = site.recover(aside, basis=Basis.PLANS, newest=True)
    assert second.account.spent == first.account.spent
    assert second.account.lost == {site.release.receipt.request_id}
    with site.federation.open() as silo:
        assert silo.ledger.verify().spent == first.account.spent


def test_what_an_earlier_recovery_charged_pays_for_no_later_loss(site: Site) -> None:
    """The same backup's answer is drawn in each life, and each draw is charged."""
    plan, drawn = site.federation.plan(id="again", epsilon=0.3), 0
    with site.federation.open() as silo:
        site.federation.verdict(silo.gateway.propose(plan=site.federation.sealed(plan)))
    for life in range(3):
        late = site.home / f"{life}.ledger"
        assert site.command("backup", str(late)) == 0
        with site.federation.open() as silo:
            drawn += site.federation.release(silo, plan).receipt.cost_units
        site.ledger.unlink()
        site.recover(late, basis=Basis.PLANS, receipts=False)
    with site.federation.open() as silo:
        spent = silo.ledger.verify().spent
    assert all(spent[s] - site.spent[s] >= drawn > 0 for s in site.spent)


@pytest.mark.parametrize("copied", [False, True], ids=["backup", "file"])
def test_a_backup_of_before_an_earlier_recovery_pays_for_every_life_since(
    site: Site, copied: bool
) -> None:
    """The same old copy each time: its chain knows of no life after it, and so shows its age."""
    plan, drawn = site.federation.plan(id="again", epsilon=0.3), 0
    with site.federation.open() as silo:
        site.federation.verdict(silo.gateway.propose(plan=site.federation.sealed(plan)))
    early = site.home / "early.ledger"
    if copied:
        shutil.copyfile(site.ledger, early)
    else:
        assert site.command("backup", str(early)) == 0
    for _ in range(3):
        with site.federation.open() as silo:
            drawn += site.federation.release(silo, plan).receipt.cost_units
        site.ledger.unlink()
        recovery = site.recover(early, basis=Basis.PLANS, receipts=False)
    assert all(recovery.account.spent[s] - site.spent[s] >= drawn > 0 for s in site.spent)


def test_a_copied_ledger_is_the_newest_only_where_a_person_says_so(site: Site) -> None:
    """What a recovery charged before the copy was made pays for nothing that came after it."""
    plan, drawn = site.federation.plan(id="again", epsilon=0.3), 0
    with site.federation.open() as silo:
        site.federation.verdict(silo.gateway.propose(plan=site.federation.sealed(plan)))
    early, late = site.home / "early.ledger", site.home / "late.sqlite"
    assert site.command("backup", str(early)) == 0
    with site.federation.open() as silo:
        drawn += site.federation.release(silo, plan).receipt.cost_units
    site.ledger.unlink()
    site.recover(early, basis=Basis.PLANS, receipts=False)
    with site.federation.open():
        pass  # served, and asked nothing yet
    shutil.copyfile(site.ledger, late)
    with site.federation.open() as silo:
        drawn += site.federation.release(silo, plan).receipt.cost_units
    site.ledger.unlink()
    with pytest.raises(SilosynthError, match="moved away"):
        site.recover(early, basis=Basis.PLANS, receipts=False, newest=True)
    recovery = site.recover(late, basis=Basis.PLANS, receipts=False)
    assert all(recovery.account.spent[s] - site.spent[s] >= drawn > 0 for s in site.spent)


def test_a_ledger_of_before_a_recovery_is_not_served_and_not_the_newest(site: Site) -> None:
    """It knows nothing of what was spent since, and no receipt need say so."""
    early, fence = site.home / "early.sqlite", fence_path(site.ledger)
    shutil.copyfile(site.ledger, early)
    for served in (False, True):  # a recovery that is not served yet stands for its ledger, too
        site.ledger.unlink()
        site.recover(site.backup, basis=Basis.PLANS, receipts=False)
        if served:
            with site.federation.open():
                pass
        shutil.copyfile(early, site.ledger)
        with (
            pytest.raises(LedgerUnavailable, match="nothing of a recovery"),
            site.federation.open(),
        ):
            pass
    assert not fence.exists()
    site.ledger.unlink()
    with pytest.raises(InvalidCopy, match="no newest one"):
        site.recover(early, basis=Basis.PLANS, newest=True)
    whole = site.recover(early, basis=Basis.PLANS)
    with site.federation.open() as silo:  # the life that it lacks is paid for, and known
        assert silo.ledger.verify().spent == whole.account.spent
    late = site.home / "late.ledger"
    assert site.command("backup", str(late)) == 0
    with site.federation.open():
        pass
    site.ledger.unlink()
    again = site.recover(late, basis=Basis.PLANS)
    paid = {s: again.account.spent[s] - whole.account.spent[s] for s in site.spent}
    prices = {s: whole.charged[s] for s in site.spent}
    assert all(paid[s] < prices[s] for s in site.spent), "one life more, and no earlier one again"


def test_a_mirror_that_is_shorter_than_was_noted_is_not_live(mirrored: Site) -> None:
    """Such as one below the mount point of a disk that is away; it would refund what it lacks."""
    old = mirrored.mirror.read_bytes()
    with mirrored.federation.open() as silo:
        mirrored.federation.release(silo, mirrored.federation.plan(id="newer"))
    mirrored.ledger.unlink()
    whole = mirrored.mirror.read_bytes()
    mirrored.mirror.write_bytes(old)
    with pytest.raises(InvalidCopy, match="an old one"):
        mirrored.recover(mirrored.mirror, basis=Basis.MIRROR, receipts=False)
    assert mirrored.recover(mirrored.mirror, receipts=False).basis is Basis.ALL
    mirrored.ledger.unlink()
    mirrored.mirror.write_bytes(whole)
    assert mirrored.recover(mirrored.mirror).basis is Basis.MIRROR
    with mirrored.federation.open() as silo:  # what was put back before served nobody
        assert len(silo.ledger.verify().releases) == 3


def test_a_mirror_of_which_nothing_is_noted_is_the_newest_only_where_a_person_says_so(
    mirrored: Site,
) -> None:
    mirrored.ledger.unlink()
    mirror_note(mirrored.ledger).unlink()
    assert mirrored.recover(mirrored.mirror).basis is Basis.ALL
    mirrored.ledger.unlink()
    recovery = mirrored.recover(mirrored.mirror, basis=Basis.MIRROR)
    assert recovery.account == mirrored.account


def test_a_recovery_that_served_nobody_is_no_life(site: Site) -> None:
    """Made twice, because the first was interrupted or thought better of, it charges once."""
    prices = site.prices()
    for _ in range(3):
        site.ledger.unlink()
        assert site.recover(site.backup, basis=Basis.PLANS).account.spent == prices


def test_all_that_is_left_is_no_less_than_what_receipts_prove(site: Site) -> None:
    """The operator had taken a grant back; a plan that is gone may have cost any budget."""
    site.ledger.unlink()
    site.federation.trust("rogue", site.federation.rogue)
    site.grant(0.1)
    caps = {s: c.units for s, c in site.federation.policy.scope_caps().items()}
    cost = site.release.receipt.cost_units
    found = site.find()
    first = recover(site.federation.policy, found, basis=Basis.ALL, by="anna", at=AT)
    assert first.account.spent == {s: cost if s in site.spent else c for s, c in caps.items()}
    assert all(cost > c for c in caps.values())
    shutil.rmtree(Path(site.federation.policy.silo.directory) / "plans")
    second = site.recover(basis=Basis.ALL)
    assert second.account.spent == dict.fromkeys(caps, cost)
    aside = site.ledger.rename(site.ledger.with_name("aside.sqlite"))
    third = site.recover(aside, basis=Basis.ALL, newest=True)
    assert third.account.spent == second.account.spent


@pytest.mark.parametrize("basis", [Basis.PLANS, Basis.ALL])
def test_a_mask_that_was_sent_is_not_made_again(site: Site, basis: Basis) -> None:
    """Under other noise, the difference of both vectors would have no mask."""
    federation = site.federation
    federation.change(approval={"max_alone_epsilon": 20.0})
    made = new_plan(
        people(),
        epsilon=0.5,
        delta=1e-6,
        silos=("north", "south"),
        method="independent",
        rows_per_person=2,
        plan_id="sum",
        trust="shared",
    )
    roster = {"north": federation.north.public, "south": federation.south.public}
    plan = parse_plan(made.model_dump(mode="json") | {"roster": roster})
    south = SumMember(silo="south", store=SumStore(site.home / "south"), key=federation.south)
    summed = Sum(federation=federation, plan=plan, south=south)
    late = site.home / "late.ledger"
    with federation.open() as silo:
        federation.verdict(silo.gateway.propose(plan=federation.sealed(plan)))
        request = summed.request(summed.proof(silo))
    assert site.command("backup", str(late)) == 0
    kept = shutil.copytree(site.sums, site.home / "sums of the night")
    with federation.open() as silo:
        assert isinstance(summed.ask(silo, request), Release)
    site.ledger.unlink()
    shutil.rmtree(site.sums)
    shutil.copytree(kept, site.sums)
    recovery = recover(federation.policy, site.find(late), basis=basis, by="anna", at=AT)

    def moved(step: str) -> None:
        assert site.sums.exists() == (step == "recover:sums")

    write_recovery(recovery, reached=moved)
    assert not site.sums.exists()
    assert len([*site.sums.parent.glob("sums.lost-*")]) == 1
    site.grant(20.0)
    with federation.open() as silo:
        federation.decide(silo, plan, Verdict.APPROVED)
        refusal = summed.ask(silo, request)
    assert isinstance(refusal, Refusal)
    assert "did not sign that set" in refusal.message


def test_a_person_is_told_to_compare_rosters_and_refusals(site: Site) -> None:
    """A roster that was approved since the copy, and a refusal, are in no copy."""
    federation, new = site.federation, SigningKey.generate()
    asked = asks("south", new, replaces=federation.south.public, previous=federation.south)
    change = gains(roster_of(federation), asked)
    with federation.open() as silo:
        proposes(federation, silo, change)
        decides(federation, silo, change.digest)
    late = site.home / "late.ledger"
    assert site.command("backup", str(late)) == 0
    for copy_, version in ((site.backup, 0), (late, 1)):
        site.ledger.unlink()
        site.recover(copy_, basis=Basis.ALL)
        assert len(site.told) == 1
        told = site.told[0]
        assert f"'default' goes by version {version} of its roster" in told
        assert "compare it with 'roster show' at the coordinator" in told
        assert "approve again what was approved, refuse again what was refused" in told


def test_an_audit_carries_the_charges_and_the_lost_answers(site: Site) -> None:
    site.ledger.unlink()
    recovery = site.recover(site.backup, basis=Basis.PLANS, audit=True, receipts=False)
    assert recovery.known.entries == site.account.entries
    assert recovery.account.lost == {site.release.receipt.request_id}
    assert recovery.account.charges == site.account.charges
    assert site.command("export-audit", str(site.audit.with_name("after.audit"))) == 0
    sealed = site.audit.with_name("after.audit").read_bytes()
    body = unseal(sealed, purpose=Purpose.AUDIT, trusted={site.federation.north.public}).body
    assert verify_audit(body).account == recovery.account


def test_an_old_copy_of_a_mirror_is_no_mirror(mirrored: Site, tmp_path: Path) -> None:
    """It would give back what was spent since."""
    old, note = tmp_path / "old.mirror", mirror_note(mirrored.ledger)
    shutil.copyfile(mirrored.mirror, old)
    noted = note.read_bytes()
    newer = mirrored.federation.plan(id="newer")
    with mirrored.federation.open() as silo:
        released = mirrored.federation.release(silo, newer)
    note.write_bytes(noted)  # as a kill leaves it: nothing but its place tells what is old
    mirrored.ledger.unlink()
    moved = mirrored.mirror.rename(tmp_path / "moved.mirror")
    assert (
        recover(mirrored.federation.policy, mirrored.find(old), basis=None, by="anna", at=AT).basis
        is Basis.ALL
    )
    (mirrored.receipts / "newer.receipt").write_bytes(encode_receipt(released))
    with pytest.raises(InvalidCopy, match="an old one"):
        mirrored.recover(old, basis=Basis.MIRROR)
    moved.write_bytes(moved.read_bytes()[:-10])
    assert (
        recover(
            mirrored.federation.policy, mirrored.find(moved), basis=None, by="anna", at=AT
        ).basis
        is Basis.ALL
    )


def test_an_audit_that_is_newer_than_the_mirror_shows_that_it_was_given_up(
    mirrored: Site, tmp_path: Path
) -> None:
    old = tmp_path / "old.mirror"
    shutil.copyfile(mirrored.mirror, old)
    with mirrored.federation.open() as silo:
        mirrored.federation.release(silo, mirrored.federation.plan(id="newer"))
    assert mirrored.command("export-audit", str(mirrored.audit), "--force") == 0
    mirrored.ledger.unlink()
    with pytest.raises(SilosynthError, match="no mirror that was followed"):
        mirrored.recover(old, audit=True, basis=Basis.MIRROR)


def test_a_mirror_that_is_torn_or_given_up_is_a_backup(mirrored: Site) -> None:
    mirrored.ledger.unlink()
    whole = mirrored.mirror.read_bytes()
    for behind in (b"torn", record({"record": "retired"})):
        mirrored.mirror.write_bytes(whole + behind)
        assert (
            recover(
                mirrored.federation.policy,
                mirrored.find(mirrored.mirror),
                basis=None,
                by="anna",
                at=AT,
            ).basis
            is Basis.ALL
        )


def test_a_backup_with_something_behind_its_end_is_refused(site: Site) -> None:
    site.backup.write_bytes(site.backup.read_bytes() + b"x")
    with pytest.raises(InvalidCopy, match="cut off, or damaged"):
        check_copy(site.backup, key=site.federation.north.public)


def test_a_backup_that_lost_its_last_entries_is_refused(site: Site) -> None:
    """Its end is the true one, and its chain another one that holds."""
    whole = read_copy(site.backup)
    rows = [
        record(dict(zip(("sequence", "body", "head"), r, strict=True)) | {"record": "entry"})
        for r in whole.rows[:3]
    ]
    assert whole.end is not None
    end = record({"record": "end"}, whole.end)
    site.backup.write_bytes(b"".join((begin(CopyKind.BACKUP), *rows, end)))
    with pytest.raises(InvalidCopy, match="not the backup that its silo signed"):
        check_copy(site.backup, key=site.federation.north.public)


def test_plans_that_are_not_whole_are_noticed(site: Site) -> None:
    site.ledger.unlink()
    kept = Path(site.federation.policy.silo.directory) / "plans"
    shutil.rmtree(kept / site.later.digest.removeprefix("sha256:"))
    with pytest.raises(SilosynthError, match=f"lacks {site.later.digest}"):
        site.recover(site.backup, basis=Basis.PLANS)
    (folder,) = kept.iterdir()
    (folder / "plan.sealed").write_bytes(b"what")
    with pytest.raises(SilosynthError, match="cannot be read"):
        site.recover(site.backup, basis=Basis.PLANS, receipts=False)


def test_copies_of_two_silos_are_not_mixed(site: Site, mirrored: Site) -> None:
    with pytest.raises(InvalidCopy, match="no backup of this silo"):
        site.find(mirrored.backup)
    site.ledger.unlink()
    with pytest.raises(InvalidCopy, match="parted, or of two silos"):
        site.recover(site.backup, mirrored.mirror)


@pytest.mark.parametrize("cut", [0, 1, 30, 400, 5000])
def test_a_backup_that_is_cut_off_or_changed_is_refused(site: Site, cut: int) -> None:
    data = site.backup.read_bytes()
    broken = site.backup.with_name("broken")
    middle = bytearray(data)
    middle[min(cut, len(data) - 1)] ^= 1
    for bad in (data[: len(data) - 1 - cut], bytes(middle)):
        broken.write_bytes(bad)
        with pytest.raises(InvalidCopy):
            check_copy(broken, key=site.federation.north.public)


def test_a_backup_is_of_one_moment_however_many_pieces_it_comes_in(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(desk_module, "_PIECE_BYTES", 700)
    with site.federation.open() as silo:
        desk = Desk(policy=silo.policy, key=silo.key, ledger=silo.ledger)
        ask: Callable[..., Any] = lambda **o: desk.ask(  # noqa: E731
            Question(command=Command.BACKUP, **o), user=0
        )
        answer = ask()
        then, pieces, number = silo.ledger.head, [], 0
        while True:
            pieces.append(b64decode(answer["piece"]))
            got = sum(map(len, pieces))
            if got >= answer["bytes"]:
                break
            silo.ledger.charge(f"r{number}", "h", cost_units=1)
            number += 1
            answer = ask(upto=answer["upto"], offset=got)
    out = tmp_path / "pieces"
    out.write_bytes(b"".join(pieces))
    assert number > 3
    assert check_copy(out, key=site.federation.north.public).account.head == then


def test_a_backup_is_there_when_the_power_is_back(
    site: Site, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    root = tmp_path / "disk"
    root.mkdir()
    with forgetful_disk(root, monkeypatch) as disk:
        assert site.command("backup", str(root / "evening.ledger")) == 0
        left = disk.after_loss(tmp_path / "after") / "evening.ledger"
    assert check_copy(left, key=site.federation.north.public).account == site.account


@pytest.mark.parametrize("step", ["recover:write", "recover:commit", "recover:link"])
def test_a_recovery_that_dies_leaves_no_ledger_and_can_be_made_again(site: Site, step: str) -> None:
    site.ledger.unlink()

    def die(name: str) -> None:
        if name == step:
            raise KeyboardInterrupt

    recovery = recover(site.federation.policy, site.find(site.backup), basis=None, by="anna", at=AT)
    with pytest.raises(KeyboardInterrupt):
        write_recovery(recovery, reached=die)
    assert not site.ledger.exists()
    write_recovery(recovery)
    with site.federation.open() as silo:
        assert silo.ledger.verify().lost == recovery.account.lost


STAYS = "the sum stays as it was"
CLOSED = "nothing is left"
# What is lost, and what the silo's next start does without anybody's help.
LOSSES = {
    "state/ledger.sqlite": "there is no ledger",
    "state/ledger.sqlite.fence": STAYS,
    "state/ledger.sqlite.mirror": STAYS,
    "state/plans": STAYS,
    "state/plan-ids": STAYS,
    "state/results": STAYS,
    "state/sums": STAYS,
    "state/cache": STAYS,
    "keys/silo.pem": "silo.pem",
    "keys/persons.secret": "persons.secret",
    "../mirrors/north.mirror": "is away",
}


@pytest.mark.parametrize("lost", sorted(LOSSES))
def test_the_drill_each_file_in_turn_is_lost_and_nothing_is_refunded(
    mirrored: Site, lost: str
) -> None:
    home = mirrored.path.parent
    gone = home / lost
    aside = home / "lost"
    if gone.exists():
        shutil.move(gone, aside)
    expected = LOSSES[lost]
    if expected != STAYS:
        with pytest.raises(SilosynthError, match=expected), mirrored.federation.open():
            pass
        if "ledger" not in lost:
            shutil.move(aside, gone)
        else:
            mirrored.recover(mirrored.mirror)
    with mirrored.federation.open() as silo:
        assert silo.ledger.verify().spent == mirrored.spent
    answer = mirrored.again(mirrored.later)
    assert isinstance(answer, Release)
    assert answer.receipt == mirrored.release.receipt
    with mirrored.federation.open() as silo:
        assert read_copy(mirrored.mirror).account == silo.ledger.verify()


def test_everything_on_the_disk_is_named_in_the_drill(mirrored: Site) -> None:
    """What a silo keeps, the drill loses."""
    home = mirrored.path.parent
    kept = {f"{f.name}/{p.name}" for f in (home / "state", home / "keys") for p in f.iterdir()}
    kept = {k for k in kept if not k.endswith((".sock", "inner"))}
    assert kept <= LOSSES.keys()


def test_the_fence_counts_where_no_receipt_is_given(site: Site) -> None:
    fence = fence_path(site.ledger)
    held = {"version": 1, "heads": ["ab" * 32], "released": ["unknown"]}
    fence.write_text(json.dumps(held))
    site.ledger.unlink()
    recovery = site.recover(site.backup, receipts=False)
    assert recovery.account.heads == {"ab" * 32}
    assert recovery.account.lost == {"unknown"}
    with site.federation.open() as silo:
        assert silo.ledger.head == recovery.account.head


@pytest.fixture
def serving() -> Iterator[Serving]:
    with Serving() as serving:
        serving.start()
        yield serving


def test_a_backup_of_a_running_gateway_comes_back_and_holds_no_value(
    serving: Serving, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    federation, plan = serving.federation, serving.federation.plan()
    with serving.gateway() as gateway:
        gateway.propose(plan=federation.sealed(plan))
        sent = gateway.answer(plan=federation.sealed(plan), request=federation.request(plan))
    out, policy = tmp_path / "copy", ["--policy", str(serving.policy)]
    assert run(["silo", "backup", str(out), *policy, "--json"]) == 0
    backed_up = json.loads(capsys.readouterr().out)["data"]
    assert (backed_up["releases"], backed_up["path"]) == (1, str(out))
    assert run(["silo", "recover", "--from", str(out), *policy, "--yes"]) == 4
    assert "the gateway is running" in capsys.readouterr().err
    serving.kill()
    ledger = serving.home / "north" / "state" / "ledger.sqlite"
    ledger.unlink()
    words = ["silo", "recover", "--from", str(out), "--basis", "plans", *policy, "--yes", "--json"]
    assert run(words) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["data"]["lost"] == []
    assert "every plan that this silo approved is charged in full" in printed.err
    told = " ".join(printed.err.split())
    assert "goes by version 0 of its roster now: compare it with 'roster show'" in told
    serving.give_away()
    serving.start()
    with serving.gateway() as gateway:
        again = gateway.answer(plan=federation.sealed(plan), request=federation.request(plan))
    assert again == sent
    said = [printed.out.encode(), printed.err.encode(), out.read_bytes()]
    assert holds_token(said, serving.home) == []
