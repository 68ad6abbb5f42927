"""What an evaluation found, in sentences: how near first, and what too few people cannot say."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def judgement_words(facts: Mapping[str, Any]) -> Iterator[str]:
    """Yield what was found, from :func:`describe` or :func:`describe_distance`.

    Each number stands with the ends of its interval, which hold what the noise and the sample of
    people leave open.
    """
    if "people" in facts:
        yield f"{_between(facts['people'], '{:,.0f}')} people were held out and asked"
    yield from _near(facts)
    if facts.get("gain"):
        yield (
            f"per person {_between(facts['gain'], '{:.3f}')} nats more likely than under "
            "independent columns"
        )
    for target, area in facts.get("auc", {}).items():
        yield f"the sampler predicts {target} for them with an AUC of {_between(area, '{:.3f}')}"


def _near(facts: Mapping[str, Any]) -> Iterator[str]:
    """Say how near the pairs are, as far as so many people can tell."""
    if not facts["said"]:
        yield "too few people were held out to say how near the pairs are"
        return
    near, least = facts["n_eq"]["value"], facts["n_eq"]["low"]
    sample = "more people than can be told" if near is None else f"{near:,.0f} people"
    at_least = "" if least is None else f", of {least:,.0f} at the least"
    yield f"as near to everybody as a random sample of {sample}{at_least}"
    yield (
        f"pairs of columns lie {_between(facts['distance'], '{:.4f}')} apart; independent columns "
        f"would lie {facts['independent']:.4f}"
    )


def _between(number: Mapping[str, float | None], form: str) -> str:
    """Write a number with the ends that it has."""
    ends = [form.format(end) for end in (number["low"], number["high"]) if end is not None]
    value = number["value"]
    shown = "?" if value is None else form.format(value)
    return f"{shown} ({' to '.join(ends)})" if len(ends) == 2 else shown
