"""What an evaluation found is said in sentences, and no more than so many people can tell."""

from __future__ import annotations

from typing import Any

from silosynth.server.judging import judgement_words


def _number(value: float | None, low: float | None, high: float | None) -> dict[str, Any]:
    return {"value": value, "low": low, "high": high}


NEAR: dict[str, Any] = {
    "n_eq": _number(4040.4, 1780.2, None),
    "distance": _number(0.0184, 0.0, 0.0438),
    "independent": 0.0795,
    "said": True,
}


def test_nearness_is_said_by_people_and_beside_independent_columns() -> None:
    assert list(judgement_words(NEAR)) == [
        "as near to everybody as a random sample of 4,040 people, of 1,780 at the least",
        "pairs of columns lie 0.0184 (0.0000 to 0.0438) apart; independent columns would lie "
        "0.0795",
    ]


def test_what_cannot_be_told_is_not_said() -> None:
    unknown = NEAR | {"n_eq": _number(None, None, None)}
    (first, _) = judgement_words(unknown)
    assert first == "as near to everybody as a random sample of more people than can be told"
    few = NEAR | {"said": False, "distance": None}
    assert list(judgement_words(few)) == [
        "too few people were held out to say how near the pairs are"
    ]


def test_people_and_targets_stand_with_their_ends() -> None:
    facts = NEAR | {
        "people": _number(2053, 2022, 2084),
        "gain": None,
        "auc": {"ill": _number(0.883, 0.858, 0.908)},
    }
    said = list(judgement_words(facts))
    assert said[0] == "2,053 (2,022 to 2,084) people were held out and asked"
    assert said[-1] == "the sampler predicts ill for them with an AUC of 0.883 (0.858 to 0.908)"
