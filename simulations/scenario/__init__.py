"""Runs in virtual time: a plan lives through a scenario, with real gateways, in seconds."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
