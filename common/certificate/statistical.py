"""Statistical privacy of single counts, in sentences of their own: no part of a certificate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from silosynth.common.accounting import count_law
from silosynth.common.certificate.certificate import Certificate
from silosynth.common.errors import InvalidArgument

HEADING = "Beside the guarantee: statistical privacy of single counts"
SHARES = (0.5, 0.1, 0.01)

CONDITIONS = (
    "Against an attacker who knows the distribution and not the rows: how many rows there are, "
    "with which chance a row is in the cell, and no row of the table.",
    "Rows are independent draws of that distribution, one a person.",
    "One count is published, with the noise of its phase, and nothing else. The rows are those of "
    "the count that the attacker sees: of one silo where it noises by itself, and where silos "
    "share noise of those that do not work with the attacker.",
)
NOT_SAID = (
    "It is not the guarantee above, which holds whatever an attacker knows: somebody who knows "
    "other rows, as each person knows their own, is not such an attacker.",
    "It says nothing of two counts together, and a run publishes many: it does not add up, and no "
    "ledger is charged less for it.",
    "It collapses for rare cells: where a cell has few rows, noise alone hides one.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stated:
    """What holds of one count of a phase: at ``share`` of the rows, epsilons at one delta."""

    phase: str
    share: float
    epsilon: float
    noise_alone: float


def statistical_privacy(
    certificate: Certificate, *, rows: int, shares: Sequence[float] = SHARES
) -> tuple[Stated, ...]:
    """Work out what an attacker who knows no row learns of one, from a single count of each phase.

    ``noise_alone`` is the same count's epsilon against an attacker who knows all other rows.

    Args: rows: about how many a count is over that the attacker does not know: a public guess.
    Raises InvalidArgument where no phase publishes counts of one row a person.
    """
    if not certificate.counting or certificate.rows_per_person > 1:
        raise InvalidArgument(
            "the statement is about counts of one row a person, and this plan publishes none",
            hint="the guarantee of the certificate holds all the same",
        )
    found = []
    for phase in certificate.counting:
        alone = count_law(rows=1, chance=0.0, noise=phase.noise)
        noise_alone = alone.epsilon(certificate.delta)
        for share in shares:
            law = count_law(rows=rows, chance=share, noise=phase.noise)
            # Whatever hides a row beside the noise cannot make it plainer.
            epsilon = min(law.epsilon(certificate.delta), noise_alone)
            found.append(
                Stated(phase=phase.name, share=share, epsilon=epsilon, noise_alone=noise_alone)
            )
    return tuple(found)
