"""Games of a generator that is trained: what a canary's clipped gradient adds to a round.

Of a table of one attribute nothing is seen before it is predicted, so a gradient is the same
whatever masks are drawn, and each canary's lies in a direction of its own. Whom a silo samples the
attacker does not know, neither of canaries nor of others.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from silosynth.client.learning import Gradients
from silosynth.client.noise import SystemBits
from silosynth.common.codec import layout_of
from silosynth.common.errors import InvalidPlan
from silosynth.common.generator import MaskedMlp
from silosynth.common.messages import Request
from silosynth.common.plan import Plan, read_weights
from silosynth.common.schema import Schema
from silosynth.server.methods import TrainingChoice
from silosynth.simulations.audit.counted import Added, TableRun
from silosynth.simulations.audit.game import Game, RunsTable
from silosynth.simulations.audit.made_up import (
    CANARIES,
    MadeUp,
    People,
    made_up_plan,
    made_up_schema,
    played_silos,
)

ROUNDS, RATE = 4, Fraction(1, 2)
_CODES, _USED = 16 * CANARIES, 2 * CANARIES
_CLIP = 0.05
"""Far below the canaries' gradients, so that clipping is at work and nobody adds less."""
_STEADY = 1e-6
"""Learning so slow that no noise moves gradients below the clip."""
_SIZE = 100


def open_learnt_game(plan: Plan, *, run: RunsTable) -> Game[People]:
    """Return the game of a plan that trains: few rounds of large samples, with its promise.

    A few codes are those of one person each whom the attacker knows, and most are nobody's: what
    gradients have in common, the shares of all codes, is then next to nothing. The network is
    small, and the weights are the coordinator's own from round to round.

    Raises InvalidPlan for a plan that starts from a pretrained network, which nobody made up has.
    """
    if not (plan.training and isinstance(plan.training.architecture, MaskedMlp)):
        raise InvalidPlan(
            f"plan {plan.id} trains a network that is not of codes alone, and this audit's "
            "made-up people have nothing else",
            hint="gradients of other networks are bounded by tests/privacy/test_clip.py",
        )
    schema = made_up_schema(attributes=1, codes=_CODES)
    played = made_up_plan(plan, schema, training=_choice(plan))
    people = MadeUp(
        schema=schema,
        silos=played.silos,
        rows_per_person=played.privacy.rows_per_person,
        colluders=played.colluders,
        crowd=np.arange(CANARIES, _USED)[:, None],
    )
    learns = _Learnt(played, schema)
    return Game(
        plan=played,
        people=people,
        run=TableRun(plan=played, people=people, run=run),
        adds=Added(plan=played, people=people, learns=learns),
    )


def _choice(plan: Plan) -> TrainingChoice:
    """Return how the made-up people are learnt from."""
    return TrainingChoice(
        architecture=MaskedMlp(width=4, layers=1, views=1),
        rounds=ROUNDS,
        local_steps=1,
        rate=RATE,
        clip=_CLIP,
        learning_rate=_STEADY,
        sizes=dict.fromkeys(played_silos(plan)[0], _SIZE),
    )


class _Learnt:
    """Own a network, built once for all games, and what a person of each code adds to a round."""

    def __init__(self, plan: Plan, schema: Schema) -> None:
        assert plan.training
        architecture, layout = plan.training.architecture, layout_of(schema)
        self._gradients = Gradients(architecture, layout, clip=plan.training.clip)
        self._parameters = architecture.parameters(layout)
        self._weights = b""

    def __call__(self, people: People, _: str, request: Request) -> np.ndarray:
        """Return what people add to a round in which all of them take part."""
        if request.weights is not None and request.weights != self._weights:
            self._weights = request.weights
            self._gradients.load(read_weights(request.weights, parameters=self._parameters))
            codes = np.arange(_USED, dtype=np.int32)[:, None]
            self._of_codes = self._gradients.each(codes, words=SystemBits().words)
        added: np.ndarray = self._of_codes[people.codes[:, 0]].sum(0)
        return added
