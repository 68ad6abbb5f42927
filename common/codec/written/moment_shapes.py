"""Formats of dates and instants by the shape of their texts: those that most files have."""

from __future__ import annotations

from collections.abc import Callable

_FORMATS: tuple[tuple[str, str], ...] = (
    (r"^\d{4}-\d{1,2}$", "%Y-%m"),
    (r"^\d{4}/\d{1,2}$", "%Y/%m"),
    (r"^(19|20)\d{2}(0[1-9]|1[0-2])$", "%Y%m"),
    (r"^\d{4}-W\d{2}-[1-7]$", "%G-W%V-%u"),
    (r"^\d{4}-[0-3]\d{2}$", "%Y-%j"),
    (r"^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d{2}:\d{2}:\d{2} \d{4}$", "%a %b %e %H:%M:%S %Y"),
    (r"^[A-Z][a-z]{2}, \d{1,2} [A-Z][a-z]{2} \d{4}", "%a, %d %b %Y"),
    (r"^[A-Z][a-z]{2} \d{1,2} [A-Z][a-z]{2} \d{4}", "%a %d %b %Y"),
    (r"^[A-Z][a-z]{5,8}, [A-Z][a-z]{2,8} \d{1,2}, \d{4}", "%A, %B %d, %Y"),
    (r"^\d{1,2}/\d{4}$", "%m/%Y"),
    (r"^[A-Za-z]{3}[- ]\d{4}$", "%b %Y"),
    (r"^[A-Za-z]{3}[- ]\d{2}$", "%b-%y"),
    (r"^[A-Za-z]{3,9} \d{4}$", "%B %Y"),
    (r"^\d{4}/\d{1,2}/\d{1,2}", "%Y/%m/%d"),
    (r"^\d{4}\.\d{1,2}\.\d{1,2}", "%Y.%m.%d"),
    (r"^\d{4}-\d{1,2}-\d{1,2}", "%Y-%m-%d"),
    (r"^(19|20)\d{6}$", "%Y%m%d"),
    (r"^\d{1,2}/\d{1,2}/\d{4}", "%d/%m/%Y"),
    (r"^\d{1,2}/\d{1,2}/\d{4}", "%m/%d/%Y"),
    (r"^\d{1,2}-\d{1,2}-\d{4}", "%d-%m-%Y"),
    (r"^\d{1,2}-\d{1,2}-\d{4}", "%m-%d-%Y"),
    (r"^\d{1,2}\.\d{1,2}\.\d{4}", "%d.%m.%Y"),
    (r"^\d{1,2}\.\d{1,2}\.\d{2}\b", "%d.%m.%y"),
    (r"^\d{1,2}/\d{1,2}/\d{2}\b", "%d/%m/%y"),
    (r"^\d{1,2}/\d{1,2}/\d{2}\b", "%m/%d/%y"),
    (r"^\d{1,2} [A-Za-z]{3} \d{4}", "%d %b %Y"),
    (r"^\d{1,2}-[A-Za-z]{3}-\d{4}", "%d-%b-%Y"),
    (r"^\d{1,2}-[A-Za-z]{3}-\d{2}\b", "%d-%b-%y"),
    (r"^\d{1,2}[A-Za-z]{3}\d{4}", "%d%b%Y"),
    (r"^\d{1,2} [A-Za-z]{3,9} \d{4}", "%d %B %Y"),
    (r"^[A-Za-z]{3} \d{1,2}, \d{4}", "%b %d, %Y"),
    (r"^[A-Za-z]{3,9} \d{1,2}, \d{4}", "%B %d, %Y"),
)
_CLOCKS: tuple[tuple[str, str], ...] = (
    (r"\d{1,2}:\d{2}:\d{2}\.\d+$", "%H:%M:%S.%f"),
    (r"\d{1,2}:\d{2}:\d{2}$", "%H:%M:%S"),
    (r"\d{1,2}:\d{2}:\d{2} [AaPp][Mm]$", "%I:%M:%S %p"),
    (r"\d{1,2}:\d{2} [AaPp][Mm]$", "%I:%M %p"),
    (r"\d{1,2}:\d{2}[AaPp][Mm]$", "%I:%M%p"),
    (r"\d{1,2}:\d{2}:\d{2}[AaPp][Mm]$", "%I:%M:%S%p"),
    (r"\d{1,2}:\d{2}:\d{2} [+-]\d{4}$", "%H:%M:%S %z"),
    (r"\d{1,2}:\d{2}$", "%H:%M"),
)


def shaped_formats(matches: Callable[[str], bool]) -> list[str]:
    """Return the formats whose shape all texts have.

    Args: matches: whether all texts match a regular expression.
    """
    if not matches(r"\d"):
        return []
    found = []
    for pattern, day in ((p, f) for p, f in _FORMATS if matches(p)):
        if matches(pattern if pattern.endswith("$") else rf"{pattern}$"):
            found.append(day)
            found += [day.replace(" ", "-")] if day == "%b %Y" else []
            continue
        for between in (" ", "T", ", ", ":"):
            found += [
                f"{day}{between}{clock}"
                for shape, clock in _CLOCKS
                if matches(rf"{pattern.rstrip('$')}{between}{shape}")
            ]
    return found
