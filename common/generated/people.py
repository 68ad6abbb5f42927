"""Made-up people and places of a locale: Faker's words, drawn by the number of the row.

Faker is asked for a few thousand words of each list once, and rows choose among them, so that a
million rows take seconds. Mails end in domains that nobody can own (RFC 2606).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from silosynth.common.errors import InvalidSampler
from silosynth.common.generated.words import chosen, row_words
from silosynth.common.schema import Provider

_POOL = 4096
DOMAINS = np.array(["example.com", "example.org", "example.net"])
_ORDER = re.compile(r"^\{\{(first|last)_name\w*\}\}(\W*)\{\{(first|last)_name\w*\}\}$")
_LETTERS = str.maketrans({"ß": "ss", "ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "ı": "i"})


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class People:
    """Lists of one locale: first and last names by gender (female, male, any), and their order.

    Each list is (words,) text, a word as often as it is common. ``plain`` are the same words as a
    mail can hold.
    """

    first: tuple[np.ndarray, ...]
    last: tuple[np.ndarray, ...]
    plain_first: tuple[np.ndarray, ...]
    plain_last: tuple[np.ndarray, ...]
    last_first: bool
    between: str


def make_people(
    wanted: Mapping[str, Provider],
    *,
    locale: str,
    genders: np.ndarray,
    numbers: np.ndarray,
    unique: Mapping[str, bool],
    seed: int,
    person: str,
) -> dict[str, np.ndarray]:
    """Return (rows,) text for each column of one made-up person a row.

    Args:
        wanted: what each column is.
        genders: (rows,) 0 for female, 1 for male, 2 for neither, -1 where nothing is said.
        numbers: (rows,) uint64 numbers of the rows.
    """
    lists = people_of(locale)
    drawn = {
        part: row_words(seed=seed, purpose=f"{person}/{part}", rows=numbers)
        for part in ("gender", "first", "last", "domain")
    }
    gender = np.where(genders < 0, chosen(drawn["gender"], of=2), genders)
    first = chosen(drawn["first"], of=_POOL)
    last = chosen(drawn["last"], of=_POOL)

    def take(pools: tuple[np.ndarray, ...], at: np.ndarray) -> np.ndarray:
        stacked = np.stack([np.asarray(p, dtype=_widest(pools)) for p in pools])
        taken: np.ndarray = stacked[gender, at]
        return taken

    def make(name: str, provider: Provider) -> np.ndarray:
        if provider is Provider.FIRST_NAME:
            return take(lists.first, first)
        if provider is Provider.LAST_NAME:
            return take(lists.last, last)
        if provider is Provider.NAME:
            parts = [take(lists.first, first), take(lists.last, last)]
            return _glued(parts[::-1] if lists.last_first else parts, between=lists.between)
        local = [take(lists.plain_first, first), take(lists.plain_last, last)]
        word = _glued(local, between=".")
        if unique[name]:
            word = np.char.add(word, (numbers + np.uint64(1)).astype(str))
        if provider is Provider.USER_NAME:
            return word
        return _glued([word, DOMAINS[chosen(drawn["domain"], of=len(DOMAINS))]], between="@")

    return {name: make(name, provider) for name, provider in wanted.items()}


def make_places(
    provider: Provider, *, locale: str, numbers: np.ndarray, seed: int, column: str
) -> np.ndarray:
    """Return (rows,) text of a list that has nothing to do with persons, such as cities."""
    words = row_words(seed=seed, purpose=f"place/{column}", rows=numbers)
    made: np.ndarray = _pool(locale, provider.value)[chosen(words, of=_POOL)]
    return made


@cache
def people_of(locale: str) -> People:
    """Return the lists of a locale; raise InvalidSampler where there are none."""
    first = tuple(_pool(locale, f"first_name{g}") for g in ("_female", "_male", "_nonbinary"))
    last = tuple(_pool(locale, f"last_name{g}") for g in ("_female", "_male", ""))
    folded = _folder(locale)
    order = _formats(locale)
    found = next((m for m in map(_ORDER.match, order) if m and m[1] != m[3]), None)
    return People(
        first=first,
        last=last,
        plain_first=tuple(folded(p) for p in first),
        plain_last=tuple(folded(p) for p in last),
        last_first=found is not None and found[1] == "last",
        between=found[2] if found is not None else " ",
    )


def _formats(locale: str) -> tuple[str, ...]:
    person = _person(_faker(locale))
    return tuple(getattr(person, "formats_female", person.formats))


def _person(faker: Any) -> Any:
    """Return what knows the names of a locale."""
    return next(p for p in faker.providers if hasattr(p, "first_names") and hasattr(p, "formats"))


def _folder(locale: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return what makes words into the letters of mails, as the locale does."""
    internet = next(p for p in _faker(locale).providers if hasattr(p, "replacements"))
    pairs = tuple(internet.replacements)

    def fold(word: str) -> str:
        for old, new in pairs:
            word = word.replace(old, new)
        plain = unicodedata.normalize("NFKD", word.lower().translate(_LETTERS))
        return re.sub(r"[^a-z0-9]", "", plain) or "person"

    return lambda pool: np.array([fold(str(word)) for word in pool])


@cache
def _pool(locale: str, method: str) -> np.ndarray:
    """Return words of one of Faker's lists, the same for all seeds and machines."""
    faker = _faker(locale)
    person = _person(faker)
    if "_name" in method and _is_plain(person, method):
        listed = getattr(person, method.replace("_name", "_names"), None)
        any_gender = re.sub("_(female|male|nonbinary)$", "", method)
        return _in_proportion(listed) if listed else _pool(locale, any_gender)
    faker.seed_instance(f"silosynth/{locale}/{method}")
    make = getattr(faker, method)
    return np.array([re.sub(r"\s+", " ", str(make())) for _ in range(_POOL)])


def _is_plain(person: Any, method: str) -> bool:
    """Say whether a locale's names come straight from its list."""
    from faker.providers.person import Provider as Plain

    return getattr(type(person), method, None) is getattr(Plain, method, 0)


def _in_proportion(listed: Any) -> np.ndarray:
    """Return each word as often as it is common, without chance; Faker weighs them slowly."""
    weights = np.array(list(listed.values()) if hasattr(listed, "values") else [1.0] * len(listed))
    ends = np.cumsum(weights) / weights.sum()
    at = np.searchsorted(ends, (np.arange(_POOL) + 0.5) / _POOL)
    return np.array(list(listed))[np.minimum(at, len(weights) - 1)]


def _faker(locale: str) -> Any:
    try:
        from faker import Faker
        from faker.config import AVAILABLE_LOCALES
    except ModuleNotFoundError:
        raise InvalidSampler(
            "made-up names need Faker, which is not installed", hint="install silosynth[pii]"
        ) from None
    if locale not in AVAILABLE_LOCALES:
        near = sorted(name for name in AVAILABLE_LOCALES if name[:2] == locale[:2])
        raise InvalidSampler(
            f"Faker has no locale {locale!r}", hint=f"write {' or '.join(near) or 'en_US'}"
        )
    return Faker(locale).factories[0]


def _widest(pools: tuple[np.ndarray, ...]) -> np.dtype[Any]:
    return max((p.dtype for p in pools), key=lambda d: d.itemsize)


def _glued(parts: list[np.ndarray], *, between: str) -> np.ndarray:
    left = np.char.add(parts[0], between) if between else parts[0]
    return np.char.add(left, parts[1])
