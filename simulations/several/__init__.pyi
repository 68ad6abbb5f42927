from .gateways import FamilyGateways

__all__ = ["FamilyGateways"]
