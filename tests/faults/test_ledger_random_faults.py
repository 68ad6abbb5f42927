"""100,000 random operations, killed and opened again between: the ledger follows a plain model.

At every turn it is 6,000, with a kill at each moment.
"""

from __future__ import annotations

import os
import random
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from silosynth.client.ledger import Ledger
from silosynth.common.audit import Scope, ScopeKind, Verdict, verify_audit
from silosynth.common.errors import BudgetExceeded, RequestConflict

DATASET = Scope(kind=ScopeKind.DATASET, name="adult")
CONSUMER = Scope(kind=ScopeKind.CONSUMER, name="ministry")
PROJECT = Scope(kind=ScopeKind.PROJECT, name="census")
CAPS = {DATASET: 400_000, CONSUMER: 400_000, PROJECT: 25_000}
MOMENTS = (
    ("before-charge", "charge"),
    ("COMMIT", "charge"),
    ("after-charge", "charge"),
    ("before-store", "store"),
    ("COMMIT", "store"),
    ("after-store", "store"),
)
Moment = tuple[str, str]
ROUNDS = {6_000: (len(MOMENTS), 1_000), 30_000: (6, 5_000)}
"""By operations in all: how many rounds, each with a kill, and how many in each."""
MEMORY = "/dev/shm" if os.path.isdir("/dev/shm") else None
Outcome = object


@dataclass(slots=True, kw_only=True)
class Model:
    """A ledger in plain Python, without disk, threads or hashes."""

    spent: dict[Scope, int] = field(default_factory=lambda: dict.fromkeys(CAPS, 0))
    charged: dict[str, tuple[str, int]] = field(default_factory=dict)
    stored: dict[str, bytes] = field(default_factory=dict)
    decided: dict[str, Verdict] = field(default_factory=dict)

    def charge(self, request: str, content: str, cost: int, scopes: list[Scope]) -> Outcome:
        known = self.charged.get(request)
        if known is not None:
            return self.stored.get(request) if known == (content, cost) else RequestConflict
        if any(self.spent[s] + cost > CAPS[s] for s in scopes):
            return BudgetExceeded
        self.charged[request] = (content, cost)
        for scope in scopes:
            self.spent[scope] += cost
        return None

    def store(self, request: str, release: bytes) -> Outcome:
        if request not in self.charged:
            return RequestConflict
        return self.stored.setdefault(request, release)

    def decide(self, plan: str, verdict: Verdict) -> Outcome:
        self.decided[plan] = verdict
        return verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One call, on the model and on the ledger."""

    expect: Callable[[Model], Outcome]
    ask: Callable[[Ledger], Outcome]


def charge(request: str, content: str, cost: int, scopes: list[Scope]) -> Operation:
    return Operation(
        expect=lambda m: m.charge(request, content, cost, scopes),
        ask=lambda x: x.charge(request, content, cost_units=cost, scopes=scopes),
    )


def store(request: str, release: bytes) -> Operation:
    return Operation(
        expect=lambda m: m.store(request, release), ask=lambda x: x.store(request, release)
    )


def any_operation(chance: random.Random, number: int, place: int) -> Operation:
    """Draw the next operation; each round knows more requests than the one before."""
    kind = chance.choices(["charge", "store", "decide", "spent"], [50, 38, 2, 10])[0]
    request = f"r{chance.randrange(200 * (number + 1))}"
    if kind == "charge":
        cost = len(request) * 3 + (chance.random() < 0.05)
        content = chance.choice(["h"] * 20 + ["other"])
        return charge(request, content, cost, chance.sample(sorted(CAPS), chance.randint(1, 3)))
    if kind == "store":
        return store(request, f"{number}/{place}".encode())
    if kind == "decide":
        verdict = chance.choice(list(Verdict))
        return Operation(
            expect=lambda m: m.decide(request, verdict),
            ask=lambda x: x.decide(request, verdict, signer="hub", why="w", by="b").verdict,
        )
    scope = chance.choice(sorted(CAPS))
    return Operation(expect=lambda m: m.spent[scope], ask=lambda x: x.spent(scope))


def operations(number: int, moment: Moment, count: int) -> Iterator[Operation]:
    """Yield a round's operations; the last one, on a new request, meets the kill."""
    chance, last = random.Random(number), f"last of {number}"
    for place in range(count - 2):
        yield any_operation(chance, number, place)
    if moment[1] == "store":
        yield charge(last, "h", 1, [DATASET])
    yield charge(last, "h", 1, [DATASET]) if moment[1] == "charge" else store(last, b"last")


def got(call: Callable[[], Outcome]) -> Outcome:
    """Return what a call returns, or the kind of its refusal."""
    try:
        return call()
    except (BudgetExceeded, RequestConflict) as err:
        return type(err)


def walk(model: Model, *, number: int, moment: Moment, count: int) -> None:
    """Bring the model to where the kill leaves it."""
    *steps, last = operations(number, moment, count)
    for step in steps:
        step.expect(model)
    if moment[0].startswith("after"):
        last.expect(model)


def work(
    ledger: Ledger, model: Model, *, number: int, moment: Moment, count: int, armed: list[str]
) -> None:
    """Compare every answer with the model's, until the kill."""
    *steps, last = operations(number, moment, count)
    for step in steps:
        assert got(lambda s=step: s.ask(ledger)) == step.expect(model), number
    armed.append(moment[0])
    last.ask(ledger)


def killed(path: Path, model: Model, *, number: int, moment: Moment, count: int) -> None:
    """Work in a child that kills itself at the moment; raise when it ended otherwise."""
    pid = os.fork()
    if pid == 0:
        try:
            armed: list[str] = []

            def die(name: str) -> None:
                if armed == [name]:
                    os.kill(os.getpid(), signal.SIGKILL)

            ledger = Ledger.open(path, caps=CAPS, reached=die)
            ledger._batch._connection.set_trace_callback(die)
            work(ledger, model, number=number, moment=moment, count=count, armed=armed)
        except BaseException as err:
            os.write(2, f"{type(err).__name__}: {err}\n".encode())
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL


def check(path: Path, model: Model, heads: list[str]) -> None:
    """Compare everything that a ledger says with the model."""
    with Ledger.open(path, caps=CAPS, known_heads=heads[-3:]) as ledger:
        account = ledger.verify()
        assert account.spent == model.spent
        assert all(account.spent[s] <= CAPS[s] for s in CAPS)
        charges = {r: (c.request_hash, c.cost_units) for r, c in account.charges.items()}
        assert charges == model.charged
        assert set(account.releases) == set(model.stored)
        for request, release in list(model.stored.items())[-50:]:
            content, cost = model.charged[request]
            assert ledger.charge(request, content, cost_units=cost) == release
        assert {d.plan_digest: d.verdict for d in account.decisions} == model.decided
        if len(heads) % 10 == 9:
            assert verify_audit(ledger.audit()).account == account
        heads.append(ledger.head)


@pytest.mark.parametrize("operations", ROUNDS)
def test_random_operations_with_kills_follow_the_model(
    operations: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A budget is spent in the middle, so that much is refused and much is not."""
    rounds, count = ROUNDS[operations]
    monkeypatch.setitem(CAPS, PROJECT, operations // 4)
    assert rounds * count == operations
    model, heads = Model(), list[str]()
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        path = Path(directory) / "ledger.sqlite"
        Ledger.create(path)
        for number in range(rounds):
            moment = MOMENTS[number % len(MOMENTS)]
            killed(path, model, number=number, moment=moment, count=count)
            walk(model, number=number, moment=moment, count=count)
            check(path, model, heads)
    assert model.spent[PROJECT] > CAPS[PROJECT] - 20


@pytest.mark.parametrize("what", ["spent", "charged", "stored", "decided"])
def test_a_model_that_differs_in_one_thing_is_seen(what: str) -> None:
    model = Model()
    with tempfile.TemporaryDirectory(dir=MEMORY) as directory:
        path = Path(directory) / "ledger.sqlite"
        Ledger.create(path)
        killed(path, model, number=1, moment=MOMENTS[-1], count=1_000)
        walk(model, number=1, moment=MOMENTS[-1], count=1_000)
        check(path, model, [])
        getattr(model, what).popitem()
        with pytest.raises(AssertionError):
            check(path, model, [])
