"""What a ledger takes: whole numbers that its file can hold, and short printable words."""

from __future__ import annotations

from silosynth.common.accounting import ORDERS, Vector
from silosynth.common.errors import InvalidArgument

LARGEST_UNITS = 2**62
MAX_ID = 256
MAX_WHY = 2000
MAX_STATEMENT = 16_384
MAX_CHANGE = 1_400_000


def check_units(units: int, what: str, *, least: int) -> None:
    """Raise InvalidArgument unless ``units`` is a whole number that the file can hold."""
    whole = isinstance(units, int) and not isinstance(units, bool)
    if not whole or not least <= units <= LARGEST_UNITS:
        raise InvalidArgument(
            f"{what} is {units!r}", hint=f"give a whole number from {least} to 2^62"
        )


def check_vector(rdp: Vector | None) -> None:
    """Raise InvalidArgument unless a vector has one whole number for each order."""
    if rdp is None:
        return
    if len(rdp) != len(ORDERS) or any(type(v) is not int or v < 0 for v in rdp):
        raise InvalidArgument("the vector is not one of divergences at the ledger's orders")


def check_text(text: str, what: str, *, most: int = MAX_ID) -> None:
    """Raise InvalidArgument unless ``text`` is short and printable."""
    if not isinstance(text, str) or not 0 < len(text) <= most or not text.isprintable():
        raise InvalidArgument(f"the {what} is not usable", hint=f"1 to {most} printable characters")
