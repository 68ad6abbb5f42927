"""A gateway for tests: what it imports late comes first, for an interpreter in a private home."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import dp_accounting
import pandas
import pyarrow.parquet
import scipy.special

from silosynth.client.serving import serve
from silosynth.common.certificate import certify as certificate
from silosynth.common.plan import budget

LATE = (dp_accounting, pandas, pyarrow.parquet, scipy.special, budget, certificate)


def main(arguments: Sequence[str]) -> int:
    """Serve as the product's command does."""
    return serve.main(list(arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
