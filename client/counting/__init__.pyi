from .count import check_codes
from .kernel import CompiledKernel, NumpyKernel, choose_kernel
from .layout import Column, JointTable, Layout, lay_out

__all__ = [
    "Column",
    "CompiledKernel",
    "JointTable",
    "Layout",
    "NumpyKernel",
    "check_codes",
    "choose_kernel",
    "lay_out",
]
