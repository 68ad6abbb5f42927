from .asked import Asked, ask_rows
from .datasets import AnyDataset, Dataset, TablesDataset
from .gateway import Gateway
from .kept import PLAN, PLANS, KeepsRecords, Records
from .proposals import check_promise, plan_scopes
from .refusals import public_error
from .verify import Doorkeeper, permit_plan

__all__ = [
    "PLAN",
    "PLANS",
    "AnyDataset",
    "Asked",
    "Dataset",
    "Doorkeeper",
    "Gateway",
    "KeepsRecords",
    "Records",
    "TablesDataset",
    "ask_rows",
    "check_promise",
    "permit_plan",
    "plan_scopes",
    "public_error",
]
