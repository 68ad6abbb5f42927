"""The gateway of the benchmark: what it imports late comes first.

Under root it becomes another user, who may not be able to read this interpreter.
"""

from __future__ import annotations

import sys

import dp_accounting
import pandas
import pyarrow.parquet
import scipy.special

from silosynth.client.counting import compiled as kernel_numba
from silosynth.client.serving import serve
from silosynth.common.certificate import certify as certificate
from silosynth.common.plan import budget

LATE = (dp_accounting, pandas, pyarrow.parquet, scipy.special, kernel_numba, budget, certificate)

if __name__ == "__main__":
    sys.exit(serve.main())
