from .rows import MADE_FROM, dummy_sampler, write_dummy_tables

__all__ = ["MADE_FROM", "dummy_sampler", "write_dummy_tables"]
