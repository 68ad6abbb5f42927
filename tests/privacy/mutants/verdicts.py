"""A plugin of pytest: write down how each test ended, and whether an assertion ended it."""

from __future__ import annotations

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from tests.privacy.mutants.child import STOPS

PLACE = "SILOSYNTH_VERDICTS"
ONE_COURSE = "SILOSYNTH_ONE_COURSE"
# The first example that fails is enough: nobody reads the shortest one.
hypothesis.settings.register_profile(
    "mutants",
    database=None,
    deadline=None,
    derandomize=ONE_COURSE in os.environ,
    phases=[hypothesis.Phase.explicit, hypothesis.Phase.generate],
    print_blob=False,
)
hypothesis.settings.load_profile("mutants")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, Any, Any]:
    """Write a line: the node, the step, how it ended, and whether by an assertion.

    The first assertion ends the session where it is asked to.
    """
    report = yield
    raised = None if call.excinfo is None else call.excinfo.value
    asserted = call.when == "call" and raised is not None and _asserted(raised)
    line = [report.nodeid, report.when, report.outcome, asserted]
    with Path(os.environ[PLACE]).open("a") as file:
        file.write(json.dumps(line) + "\n")
    if asserted and STOPS in os.environ:
        item.session.shouldstop = "a claim failed"
    return report


def _asserted(raised: BaseException) -> bool:
    """Say whether a claim failed: an assertion, or an error that did not come or is another one.

    Where ``pytest.raises`` waits for one of the project's errors, another of them passes through.
    """
    if isinstance(raised, BaseExceptionGroup):
        return any(map(_asserted, raised.exceptions))
    named = {f"{kind.__module__}.{kind.__name__}" for kind in type(raised).__mro__}
    claims = isinstance(raised, AssertionError | pytest.fail.Exception)
    return claims or "silosynth.common.errors.SilosynthError" in named
