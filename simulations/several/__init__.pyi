from .folders import SiloTables, silo_folders, split_folder
from .gateways import FamilyGateways
from .report import report_tables, write_certificate
from .whole import run_families

__all__ = [
    "FamilyGateways",
    "SiloTables",
    "report_tables",
    "run_families",
    "silo_folders",
    "split_folder",
    "write_certificate",
]
