"""A gateway for tests: what it imports late comes first, for an interpreter in a private home."""

from __future__ import annotations

import sys

import dp_accounting
import pandas
import pyarrow.parquet
import scipy.special

from silosynth.client.serving import serve
from silosynth.common.certificate import certify as certificate
from silosynth.common.plan import budget

LATE = (dp_accounting, pandas, pyarrow.parquet, scipy.special, budget, certificate)

if __name__ == "__main__":
    sys.exit(serve.main())
