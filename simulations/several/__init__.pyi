from .folders import SiloTables, silo_folders
from .gateways import FamilyGateways
from .report import report_tables, write_certificate
from .split import split_folder

__all__ = [
    "FamilyGateways",
    "SiloTables",
    "report_tables",
    "silo_folders",
    "split_folder",
    "write_certificate",
]
