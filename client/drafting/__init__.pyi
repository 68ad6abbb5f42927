from .draft import draft_schema
from .maps import draft_map
from .rules import propose_rules
from .tables import draft_tables

__all__ = ["draft_map", "draft_schema", "draft_tables", "propose_rules"]
