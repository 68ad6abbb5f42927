from .copied import Copied, Copy, CopyKind, begin, end_body, read_copy, record
from .fence import fence_path, read_fence
from .file import copy_before, file_version, open_file
from .ledger import Ledger
from .mirror import noted_mirror
from .rebuild import is_ledger, lengthened, read_ledger
from .tables import FILE_VERSION
from .waiting import WaitingPlan, check_size, restore_waiting

__all__ = [
    "FILE_VERSION",
    "Copied",
    "Copy",
    "CopyKind",
    "Ledger",
    "WaitingPlan",
    "begin",
    "check_size",
    "copy_before",
    "end_body",
    "fence_path",
    "file_version",
    "is_ledger",
    "lengthened",
    "noted_mirror",
    "open_file",
    "read_copy",
    "read_fence",
    "read_ledger",
    "record",
    "restore_waiting",
]
