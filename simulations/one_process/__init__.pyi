from .held import HeldLedgers, HeldRecords, OneProcess, Remembered, fits_memory, write_private
from .shelved import PlanShelf, ShelvedLedger

__all__ = [
    "HeldLedgers",
    "HeldRecords",
    "OneProcess",
    "PlanShelf",
    "Remembered",
    "ShelvedLedger",
    "fits_memory",
    "write_private",
]
