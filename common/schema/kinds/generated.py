"""Columns that are made up: their values are never read, and nothing is counted of them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from silosynth.common.schema.kinds.bases import BaseAttribute, Source
from silosynth.common.schema.kinds.bins import epoch_seconds
from silosynth.common.schema.kinds.forms import Resolution, Words


class Provider(StrEnum):
    """What makes the values of a column."""

    PATTERN = "pattern"
    UUID = "uuid"
    SEQUENCE = "sequence"
    ENTRY_DATE = "entry_date"
    NAME = "name"
    FIRST_NAME = "first_name"
    LAST_NAME = "last_name"
    EMAIL = "email"
    USER_NAME = "user_name"
    PHONE_NUMBER = "phone_number"
    ADDRESS = "address"
    STREET_ADDRESS = "street_address"
    CITY = "city"
    POSTCODE = "postcode"
    COMPANY = "company"
    JOB = "job"


PERSONAL = (
    Provider.NAME,
    Provider.FIRST_NAME,
    Provider.LAST_NAME,
    Provider.EMAIL,
    Provider.USER_NAME,
)
"""What follows from one made-up person of the row."""
_OWN = (Provider.PATTERN, Provider.UUID, Provider.SEQUENCE, Provider.ENTRY_DATE)
_UUID = "[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
FEMALE = ("f", "female", "w", "woman", "weiblich", "frau", "femme", "mujer", "femmina", "vrouw")
MALE = ("m", "male", "man", "männlich", "mann", "herr", "homme", "hombre", "maschio", "h")


def _plain_instant(value: object) -> object:
    """Refuse bare numbers, which could be a year or seconds."""
    if isinstance(value, int | float):
        raise ValueError("write a date such as 2020-01-31 or 2020-01-31T12:00:00Z")
    return value


Instant = Annotated[datetime, BeforeValidator(_plain_instant)]
_FACTS = {
    "like": (Provider.PATTERN,),
    "locale": tuple(p for p in Provider if p not in _OWN),
    "person": PERSONAL,
    "gender": PERSONAL,
    "female": PERSONAL,
    "male": PERSONAL,
    "unique": (Provider.EMAIL, Provider.USER_NAME),
    "start": (Provider.SEQUENCE,),
    "step": (Provider.SEQUENCE,),
    "minimum": (Provider.ENTRY_DATE,),
    "maximum": (Provider.ENTRY_DATE,),
    "resolution": (Provider.ENTRY_DATE,),
    "format": (Provider.ENTRY_DATE,),
}
"""Which facts say something for which providers."""


class GeneratedAttribute(BaseAttribute):
    """A column that is made up row by row: a silo's own is never loaded, and nothing is counted.

    Columns of one ``person`` in a row agree: one name, a mail made of it, and a first name that
    fits the column ``gender``, of which ``female`` and ``male`` are the values that mean so.
    """

    came_with: ClassVar[int] = 2
    kind: Literal["generated"] = "generated"
    source: Source = Source.DECLARED
    provider: Provider
    like: Words | None = Field(
        default=None, description="the words that there are, as [A-Z]{2}[0-9]{6}"
    )
    locale: str = Field(default="en_US", pattern=r"^[a-z]{2,3}(_[A-Z]{2})?$")
    person: str = Field(
        default="person", max_length=128, description="which made-up person of the row it is"
    )
    gender: str | None = Field(
        default=None, max_length=512, description="the listed column that a first name must fit"
    )
    female: tuple[str | int, ...] = Field(default=(), max_length=100)
    male: tuple[str | int, ...] = Field(default=(), max_length=100)
    unique: bool = Field(default=False, description="a number is added, so that each row differs")
    start: int = Field(default=1, ge=-(2**62), le=2**62)
    step: int = Field(default=1, ge=-(2**31), le=2**31)
    minimum: Instant | None = None
    maximum: Instant | None = None
    resolution: Resolution = Resolution.DAY
    format: str | None = Field(default=None, max_length=64, pattern="%")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        for fact, providers in _FACTS.items():
            unsaid = getattr(self, fact) == type(self).model_fields[fact].default
            if self.provider not in providers and not unsaid:
                raise ValueError(f"{fact} says nothing of provider {self.provider.value}")
        if self.provider is Provider.PATTERN and self.like is None:
            raise ValueError("provider pattern needs like, such as [A-Z]{2}[0-9]{6}")
        if self.provider is Provider.SEQUENCE and self.step == 0:
            raise ValueError("a sequence of step 0 stands still")
        if self.provider is Provider.ENTRY_DATE:
            self._check_dates()
        self._check_gender()
        return self

    def _check_dates(self) -> None:
        if self.minimum is None or self.maximum is None:
            raise ValueError("provider entry_date needs minimum and maximum")
        if epoch_seconds(self.minimum) >= epoch_seconds(self.maximum):
            raise ValueError("minimum must be below maximum")

    def _check_gender(self) -> None:
        if self.gender is None and (self.female or self.male):
            raise ValueError("female and male are values of a column; name it by gender")
        both = set(map(str, self.female)) & set(map(str, self.male))
        if both:
            raise ValueError(f"{min(both)!r} is both female and male")

    @property
    def pattern(self) -> str | None:
        """Return the words of a key that is made by one."""
        return _UUID if self.provider is Provider.UUID else self.like

    @property
    def differs(self) -> bool:
        """Say whether no two rows have the same value."""
        return self.unique or self.pattern is not None or self.provider is Provider.SEQUENCE

    def gender_of(self, value: str) -> int | None:
        """Return 0 for a value that means female, 1 for male, None for any other."""
        if self.female or self.male:
            listed = (tuple(map(str, self.female)), tuple(map(str, self.male)))
            return next((i for i, words in enumerate(listed) if value in words), None)
        plain = value.strip().lower()
        return 0 if plain in FEMALE else 1 if plain in MALE else None


def check_people(made: Sequence[GeneratedAttribute], *, listed: Sequence[Any]) -> None:
    """Raise ValueError unless columns of one person agree, and the gender of each is a column.

    Args: listed: the attributes whose values are listed, those of booleans too.
    """
    known = {a.name: a for a in listed}
    told: dict[str, GeneratedAttribute] = {}
    for attribute in (a for a in made if a.provider in PERSONAL):
        first = told.setdefault(attribute.person, attribute)
        alike = ("locale", "gender", "female", "male")
        other = next((f for f in alike if getattr(first, f) != getattr(attribute, f)), None)
        if other is not None:
            raise ValueError(
                f"{first.name!r} and {attribute.name!r} are of one person and differ in {other}; "
                "write it alike, or give one of them another person"
            )
        if attribute.gender is None:
            continue
        if attribute.gender not in known:
            raise ValueError(f"gender {attribute.gender!r} is no listed column of the schema")
        words = map(str, getattr(known[attribute.gender], "categories", ("false", "true")))
        if not any(attribute.gender_of(w) is not None for w in words):
            raise ValueError(
                f"no value of {attribute.gender!r} is known to be female or male; list them in "
                "female and male"
            )


_NAMES = (
    (Provider.EMAIL, r"e_?mail(_?(address|adresse))?|mail(_?address)?|correo|courriel"),
    (Provider.FIRST_NAME, r"(first|given|fore)_?names?|vorname|prenom|prénom|firstname"),
    (Provider.LAST_NAME, r"(last|family|sur)_?name|surname|nachname|familienname|nom_de_famille"),
    (Provider.USER_NAME, r"user_?(name|id)|login|nickname"),
    (Provider.NAME, r"(full|patient|person|customer|client|guest|employee|contact)?_?name"),
    (Provider.PHONE_NUMBER, r"(tele)?phone(_?(number|no))?|mobile|telefon(nummer)?|fax"),
    (Provider.STREET_ADDRESS, r"street(_?address)?|stra(ss|ß)e|address_?line_?1"),
    (Provider.ADDRESS, r"(home|billing|full|postal)?_?address|adresse|anschrift"),
    (Provider.UUID, r"uuid|guid"),
)


def provider_named(column: str) -> Provider | None:
    """Return what a column is made by, going by its name; None where the name says nothing.

    >>> provider_named("First name").value
    'first_name'
    """
    plain = re.sub(r"[\s.-]+", "_", re.sub(r"(?<=[a-z])(?=[A-Z])", "_", column.strip())).lower()
    return next((p for p, words in _NAMES if re.fullmatch(words, plain)), None)
