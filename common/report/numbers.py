"""Write numbers for people."""

from __future__ import annotations

from decimal import ROUND_CEILING, Context, Decimal

import numpy as np

MINUS, DASH, TIMES, SPACE = "\u2212", "\u2013", "\u00d7", "\u00a0"
_SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")


def fixed(value: float, digits: int) -> str:
    """Write a score with ``digits`` decimals.

    >>> fixed(0.04531, 4), fixed(312.4, 4)
    ('0.0453', '312.4')
    """
    return f"{value:.{digits}f}" if abs(value) < 10 else f"{value:,.1f}"


def count(value: int) -> str:
    """Write a whole number with separators.

    >>> count(20190)
    '20,190'
    """
    return f"{value:,}"


def cost(value: float) -> str:
    """Write a privacy cost with four decimals, or three digits where it is small; rounded up.

    >>> cost(0.97123), cost(1.0), cost(0.000012341)
    ('0.9713', '1', '0.0000124')
    """
    exact = Decimal(repr(float(value)))
    if exact == exact.to_integral_value():
        return f"{int(exact)}"
    if exact >= Decimal("0.01"):
        return f"{exact.quantize(Decimal('0.0001'), rounding=ROUND_CEILING):f}"
    return f"{Context(prec=3, rounding=ROUND_CEILING).create_decimal(exact):f}"


def small(value: float) -> str:
    """Write a delta as a power of ten.

    >>> small(1e-06), small(0.05)
    ('10⁻⁶', '0.05')
    """
    if value >= 0.001:
        return f"{value:g}"
    digits, _, exponent = f"{value:.6e}".partition("e")
    power = "10" + str(int(exponent)).translate(_SUPERSCRIPTS)
    digits = digits.rstrip("0").rstrip(".")
    return power if digits == "1" else f"{digits} {TIMES} {power}"


def percent(share: float) -> str:
    """Write a share of all rows.

    >>> percent(0.1234).replace(SPACE, " ")
    '12.3 %'
    """
    return (
        f"{100 * share:.2f}{SPACE}%" if 0 < abs(share) < 0.00995 else f"{100 * share:.1f}{SPACE}%"
    )


def plain(value: float | None) -> str:
    """Write any number with four digits, a dash where there is none.

    >>> plain(0.98765), plain(1234567.0), plain(None)
    ('0.9877', '1,234,567', '–')
    """
    return DASH if value is None else edge(value)


def moment(microseconds: float | None) -> str:
    """Write an instant since 1970 by its day, a dash where there is none.

    >>> moment(1_577_880_000e6), moment(None)
    ('2020-01-01', '–')
    """
    if microseconds is None:
        return DASH
    return str(np.datetime64(int(microseconds // 86_400e6), "D"))


def span(microseconds: float | None) -> str:
    """Write how long something takes, in days, hours or seconds, with four digits.

    >>> span(129_600e6), span(5_400e6), span(12e6)
    ('1.5 days', '1.5 hours', '12 seconds')
    """
    if microseconds is None:
        return DASH
    seconds = microseconds / 1e6
    size, unit = next((s, u) for s, u in _SPANS if seconds >= s or s == 1)
    return f"{plain(seconds / size)} {unit}"


_SPANS = ((86_400, "days"), (3_600, "hours"), (1, "seconds"))


def points(difference: float) -> str:
    """Write a difference of shares in percentage points, with its sign."""
    text = f"{100 * abs(difference):.1f}"
    if text == "0.0":
        return text
    return ("+" if difference > 0 else MINUS) + text


def edge(value: float) -> str:
    """Write the edge of a bin with at most four digits, whole numbers in full.

    >>> edge(1998), edge(52864.7), edge(1341000), edge(0.00012)
    ('1998', '52,860', '1,341,000', '0.00012')
    """
    rounded = value if value == int(value) else float(f"{value:.4g}")
    if abs(rounded) >= 1e12:
        text = f"{rounded:.4g}"
    elif rounded == int(rounded):
        text = f"{int(rounded):,}" if abs(rounded) >= 10_000 else str(int(rounded))
    else:
        text = f"{rounded:.4g}"
    return text.replace("-", MINUS)
