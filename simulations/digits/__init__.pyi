from .demo_digits import (
    Recognised,
    digits_plan,
    digits_schema,
    digits_silos,
    recognise,
    require_digits,
)

__all__ = [
    "Recognised",
    "digits_plan",
    "digits_schema",
    "digits_silos",
    "recognise",
    "require_digits",
]
