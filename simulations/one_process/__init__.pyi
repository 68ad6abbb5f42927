from .held import HeldLedgers, HeldRecords, OneProcess, Remembered, fits_memory, write_private

__all__ = ["HeldLedgers", "HeldRecords", "OneProcess", "Remembered", "fits_memory", "write_private"]
