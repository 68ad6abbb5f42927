"""The real coordinator over a virtual clock: killed, started again, and driven to its end."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from silosynth.common.errors import SilosynthError
from silosynth.common.files import write_text
from silosynth.common.messages import (
    Bundle,
    Request,
    Result,
    digest_sampler,
    encode_receipt,
    encode_statement,
)
from silosynth.common.plan import Plan
from silosynth.common.sampler import save_sampler
from silosynth.common.schema import Schema
from silosynth.common.trust import SigningKey
from silosynth.server.coordinator import Agree, Event, State, finish
from silosynth.server.driver import Journal, Progress, Signed, read_state
from silosynth.server.driver.drive import drive
from silosynth.simulations.scenario.letters import CoordinatorKilled
from silosynth.simulations.scenario.outcome import Places


class Way(Protocol):
    """What a run goes over: a clock, and silos that answer at moments of it."""

    def propose(self, silos: Sequence[str]) -> Iterator[Event]:
        """Show the plan until every silo has decided, or the time for it is over."""

    def ask(self, requests: Sequence[Request]) -> Iterator[Event]:
        """Send each request; yield what comes before the deadline, then who is absent."""

    def agree(self, steps: Sequence[Agree]) -> Iterator[Event]:
        """Ask for keys or votes; yield what comes before the deadline, then who is mute."""

    def deliver(self, silos: Sequence[str], *, bundle: bytes) -> Iterator[Event]:
        """Hand the result out; yield who took it before the deadline, then who is silent."""

    def fit(self) -> None:
        """Let the time pass that the coordinator fits for."""

    def rest(self, *, until: int) -> None:
        """Let time pass while there is no coordinator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of the real coordinator over a virtual clock."""

    plan: Plan
    schema: Schema
    directory: Path
    way: Way

    def to_end(
        self,
        *,
        key: SigningKey,
        progress: Callable[[Progress], None],
        tell: Callable[[str], None],
    ) -> SilosynthError | None:
        """Drive the plan; return the error that ended it, if one did."""
        while True:
            try:
                self._pump(key=key, progress=progress, tell=tell)
            except CoordinatorKilled as dead:
                self.way.rest(until=dead.until)
            except SilosynthError as err:
                return err
            else:
                return None

    def _pump(
        self,
        *,
        key: SigningKey,
        progress: Callable[[Progress], None],
        tell: Callable[[str], None],
    ) -> None:
        """Drive the plan from where its journal stands."""
        bundle = self.directory / "result.bundle"
        with Journal(self.directory, plan_digest=self.plan.digest, durable=False) as journal:
            drive(
                self.plan,
                self.schema,
                journal=journal,
                send=self.way.ask,
                agree=self.way.agree,
                signed=Signed(
                    propose=self.way.propose,
                    conclude=lambda state: self._conclude(state, key=key, bundle=bundle),
                    deliver=lambda silos: self.way.deliver(silos, bundle=bundle.read_bytes()),
                ),
                progress=progress,
                tell=tell,
            )

    def state(self) -> State:
        """Return where the run stands, from its journal."""
        return read_state(self.directory, plan=self.plan, schema=self.schema)

    def _conclude(self, state: State, *, key: SigningKey, bundle: Path) -> str:
        """Fit, write the results, sign what goes back; return the sampler's digest."""
        outcome = finish(state)
        self.way.fit()
        path = Places(path=self.directory).sampler
        save_sampler(outcome.sampler, path, force=True)
        text = json.dumps(outcome.certificate.model_dump(mode="json"), indent=1, sort_keys=True)
        write_text(self.directory / "certificate.json", text + "\n", force=True)
        sampler = path.read_bytes()
        result = Result(
            plan_digest=self.plan.digest,
            sampler_digest=digest_sampler(sampler),
            certificate=outcome.certificate,
            silos=state.silos,
            receipts={
                silo: tuple(base64.b64encode(encode_receipt(r)).decode() for r in releases)
                for silo, releases in state.answers().items()
            },
        )
        statement = encode_statement(result, key=key)
        bundle.write_bytes(Bundle(statement=statement, sampler=sampler).encode())
        return result.sampler_digest
