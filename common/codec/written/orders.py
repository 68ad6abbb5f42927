"""The order that texts have by what they say: ranges, names of months, numerals, usual scales."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

from silosynth.common.codec.written.moment_names import months_of, weekdays_of

_FEWEST = 3
_SCALES = tuple(
    line.split("|")
    for line in (
        "very low|low|rather low|medium|middle|moderate|rather high|high|very high",
        "xxs|xs|s|m|l|xl|xxl|xxxl",
        "tiny|small|medium|large|huge",
        "never|almost never|rarely|seldom|sometimes|often|usually|very often|almost always|always",
        "none|minimal|mild|moderate|severe|very severe|extreme|critical",
        "very poor|poor|fair|average|good|very good|excellent",
        "very bad|bad|so-so|neutral|okay|ok|good|very good",
        "strongly disagree|disagree|somewhat disagree|neither agree nor disagree|neutral"
        "|neither|somewhat agree|agree|strongly agree",
        "very dissatisfied|dissatisfied|neutral|satisfied|very satisfied",
        "not at all|slightly|a little|somewhat|moderately|quite a bit|very|very much|extremely",
        "a+|a|a-|b+|b|b-|c+|c|c-|d+|d|d-|e|f",
        "first|second|third|fourth|fifth|sixth|seventh|eighth|ninth|tenth",
        "one|two|three|four|five|six|seven|eight|nine|ten",
        "young|middle|middle-aged|old",
        "infant|child|adolescent|teenager|young adult|adult|senior|elderly",
        "sehr niedrig|niedrig|gering|mittel|hoch|sehr hoch",
        "nie|selten|manchmal|oft|h\u00e4ufig|meistens|immer",
        "sehr schlecht|schlecht|mittelm\u00e4\u00dfig|gut|sehr gut",
        "faible|moyen|\u00e9lev\u00e9|tr\u00e8s \u00e9lev\u00e9",
        "jamais|rarement|parfois|souvent|toujours",
        "bajo|medio|alto|muy alto",
        "nunca|casi nunca|a veces|casi siempre|siempre",
        "basso|medio|alto",
        "laag|midden|gemiddeld|hoog",
    )
)
_ROMAN = re.compile(r"(?=[ivx])(x{0,3})(ix|iv|v?i{0,3})")
_ROMANS = {"i": 1, "v": 5, "x": 10}
_A_NUMBER = r"\d[\d,']*(?:\.\d+)?"
_TO_WORD = r"(?:-|\u2013|\u2014| to | bis | a | \u00e0 |, ?|\.\.+)"
_TO = re.compile(rf"{_A_NUMBER}\D{{0,8}}?{_TO_WORD}\D{{0,8}}?{_A_NUMBER}")
_BELOW = re.compile(
    r"<|\b(less than|under|below|up to|unter|bis|moins de|menos de|meno di)\b", re.I
)
_ABOVE = re.compile(
    r">|\+|\b(more than|over|above|or more|or over|or older|and over|and older|and above|plus"
    r"|at least|\u00fcber|und mehr|et plus|y m\u00e1s|o m\u00e1s)\b",
    re.I,
)
_PERIOD = re.compile(
    r"(?P<y>(?:1[89]|20|21)\d{2})|(?P<n>\b[1-4]\b|(?<=[HSTQ])[1-4]\b|\b[1-4](?=[HSTQ]))"
)
_SEASONS = {"winter": 1, "spring": 2, "summer": 3, "autumn": 4, "fall": 4, "sommer": 3, "herbst": 4}
_SEASONS |= {"fr\u00fchling": 2, "hiver": 1, "printemps": 2, "\u00e9t\u00e9": 3, "automne": 4}
_COUNTED = re.compile(r"([^\W\d_]+)[ .#-]{0,2}(\d{1,3})")
_COUNTERS = frozenset(
    (
        *("q", "quarter", "stage", "grade", "level", "year", "week", "day", "month", "phase"),
        *("tier", "round", "term", "semester", "visit", "wave", "step", "quintile", "quartile"),
        *("decile", "quantile", "priority", "severity", "stufe", "klasse", "stadium", "woche"),
        *("tag", "jahr", "monat", "quartal", "welle", "niveau", "semaine", "jour", "trimestre"),
        *("semestre", "nivel", "fase"),
    )
)
_ORDINAL = re.compile(r"(\d{1,3})(st|nd|rd|th|er|e|\u00ba|\u00aa|\.)", re.I)


def natural_order(texts: Sequence[str]) -> tuple[list[str], str] | None:
    """Return texts in the order that they say, and what says it; None where nothing does.

    >>> natural_order(["90+", "10-19", "<10"])
    (['<10', '10-19', '90+'], 'ranges')
    """
    if len(texts) < _FEWEST:
        return None
    for find, what in _WAYS:
        keys = find(texts)
        if keys is not None and len(set(keys)) == len(texts):
            order = sorted(range(len(texts)), key=keys.__getitem__)
            return [texts[i] for i in order], what
    return None


Keys = Sequence[tuple[float, ...]] | None


def _by_names(texts: Sequence[str]) -> Keys:
    """Place names of months, or of days of the week from Monday on."""
    for find in (months_of, weekdays_of):
        words = [text.strip() for text in texts]
        if len(texts) > _FEWEST and (listed := find(words)) is not None:
            return [(listed.index(word),) for word in words]
    return None


def _by_scale(texts: Sequence[str]) -> Keys:
    """Place the words of a usual scale."""
    words = [re.sub(r"^\d+ ?[-.:)] ?", "", text.strip().lower()) for text in texts]
    if all(len(word) == 1 for word in words) and not set(words) <= {"s", "m", "l"}:
        return None  # letters alone are names of groups
    for scale in _SCALES:
        if set(words) <= set(scale):
            return [(scale.index(word),) for word in words]
    return None


def _by_numeral(texts: Sequence[str]) -> Keys:
    """Place Roman numerals, alone or behind one word, from I on; and 1st, 2nd."""
    if all(found := [_ORDINAL.fullmatch(text.strip()) for text in texts]):
        return [(int(f[1]),) for f in found if f]
    begins = {text.strip().rpartition(" ")[0] for text in texts}
    ends = [re.sub("[ab]$", "", text.strip().rpartition(" ")[2].lower()) for text in texts]
    if len(begins) != 1 or not all(map(_ROMAN.fullmatch, ends)) or not {"i", "ii"} & set(ends):
        return None
    tails = [text.strip().lower()[len(text.strip()) - 1 :] for text in texts]
    return [(_roman(e), ord(t) if t in "ab" else 0) for e, t in zip(ends, tails, strict=True)]


def _roman(text: str) -> int:
    values = [_ROMANS[sign] for sign in text]
    after = [*values[1:], 0]
    return sum(-v if v < a else v for v, a in zip(values, after, strict=True))


def _by_count(texts: Sequence[str]) -> Keys:
    """Place what is numbered by one word that says an order: Q1, Stage 2, Visit 3."""
    found = [_COUNTED.fullmatch(text.strip()) for text in texts]
    words = {f[1].lower() for f in found if f}
    if not all(found) or len(words) != 1 or not words & _COUNTERS:
        return None
    return [(int(f[2]),) for f in found if f]


def _by_period(texts: Sequence[str]) -> Keys:
    """Place halves, terms, fiscal years, decades and seasons of years."""
    keys = []
    for text in texts:
        years = [int(f["y"]) for f in _PERIOD.finditer(text) if f["y"]]
        parts = [int(f["n"]) for f in _PERIOD.finditer(text) if f["n"]]
        words = re.findall(r"[^\W\d_]{3,}", text.lower())
        seasons = [_SEASONS[word] for word in words if word in _SEASONS]
        if not years or len(parts) > 1 or len(seasons) != len(words):
            return None
        keys.append((years[0], *(parts or seasons or [0])))
    shapes = {re.sub(r"\d", "9", re.sub(r"[^\W\d_]{3,}", "w", text)) for text in texts}
    return keys if len(shapes) == 1 else None


def _by_range(texts: Sequence[str]) -> Keys:
    """Place ranges that do not overlap, some of them open at an end."""
    found = [_range(text) for text in texts]
    if any(f is None for f in found) or not any(map(_is_wide, found)):
        return None
    ranges = sorted(f for f in found if f is not None)
    apart = all(a[1] <= b[0] or a[1] == b[0] for a, b in pairwise(ranges))
    return [f for f in found if f is not None] if apart else None


def _is_wide(found: tuple[float, float] | None) -> bool:
    """Say whether a range has more than one number in it."""
    return found is not None and found[0] < found[1]


def _range(text: str) -> tuple[float, float] | None:
    """Return the least and the most that a text means, or None for what is no range."""
    numbers = [float(n.replace(",", "").replace("'", "")) for n in re.findall(_A_NUMBER, text)]
    between = _TO.search(text)
    if between is not None and len(numbers) == len(("low", "high")):
        return (numbers[0], numbers[1]) if numbers[0] <= numbers[1] else None
    if len(numbers) != 1:
        return None
    if _BELOW.search(text):
        return (float("-inf"), numbers[0])
    return (numbers[0], float("inf")) if _ABOVE.search(text) else (numbers[0], numbers[0])


_WAYS: tuple[tuple[Callable[[Sequence[str]], Keys], str], ...] = (
    (_by_names, "names of months or days"),
    (_by_scale, "a usual scale"),
    (_by_numeral, "numerals"),
    (_by_count, "their numbers"),
    (_by_period, "periods of years"),
    (_by_range, "ranges"),
)
