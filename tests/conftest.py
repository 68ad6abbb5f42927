"""What all tests share: what ``--quick`` and ``--deep`` choose, fixed bits, the table of kills."""

from __future__ import annotations

import gc
import itertools
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import hypothesis
import numpy as np
import pytest

ONE_COURSE = "SILOSYNTH_ONE_COURSE"
"""Set where Hypothesis tries the same examples in every run."""

# In continuous integration pytest writes whatever failed in full: the difference of two long lists
# takes longer to write down than the suite to run. So it is not told; Hypothesis is.
if {"CI", "BUILD_NUMBER"} & set(os.environ):
    os.environ[ONE_COURSE] = "1"
for variable in ("CI", "BUILD_NUMBER"):
    os.environ.pop(variable, None)

# No example's verdict hangs on the clock. What another plugin has set, for mutants, stays.
hypothesis.settings.register_profile(
    "any load", deadline=None, derandomize=ONE_COURSE in os.environ
)
if hypothesis.settings.get_current_profile_name() in ("default", "ci"):
    hypothesis.settings.load_profile("any load")

NOT_QUICK = {
    *("processes", "deploy", "simulations", "server/service", "test_readme.py"),
    *("client/page/test_silo_page.py", "client/serving", "client/relay"),
    *("client/source/test_source_postgresql.py", "client/source/test_count_ray.py"),
    *("client/families/test_sources.py", "client/silo/test_recover.py"),
    *("common/cli/test_parts.py", "common/evaluate/test_evaluate.py"),
    "common/generator/test_pretrained.py",
    *("faults/test_kills_joining.py", "faults/test_kills_series.py"),
    *("faults/test_kills_vectors.py", "faults/test_ledger_faults.py"),
    "faults/test_ledger_random_faults.py",
    *("privacy/test_leak_canary.py", "privacy/test_mutants.py", "privacy/test_gradient_audit.py"),
    *("privacy/test_gradient_neighbours.py", "privacy/test_pretrained_gradient.py"),
    "privacy/test_families_release.py",
    *("server/federation/test_roster_commands.py", "server/federation/test_full_disk.py"),
    *("server/generator", "server/methods/test_aim.py", "server/model/test_engine.py"),
}
"""What ``--quick`` leaves out: whole runs, and all that starts processes, browsers or servers."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add --quick, --deep and --all."""
    parser.addoption("--quick", action="store_true", help="leave out what takes minutes")
    parser.addoption(
        "--deep", action="store_true", help="run what is left out otherwise, and nothing else"
    )
    parser.addoption("--all", action="store_true", help="leave nothing out")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out with --quick what it is to leave out."""
    if not config.getoption("quick"):
        return None
    place = collection_path.relative_to(Path(__file__).parent)
    return True if place.as_posix() in NOT_QUICK else None


def pytest_collection_finish() -> None:
    """Look seldom for circles: to go over what was imported is a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Collect what a file leaves behind whose warnings it lets be, while it lets them be."""
    yield
    last = nextitem is None or nextitem.path != item.path
    if last and item.get_closest_marker("filterwarnings") is not None:
        gc.collect()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print how long each run took from a kill to its end."""
    reports = [r for group in terminalreporter.stats.values() for r in group]
    noted = [p for r in reports if getattr(r, "when", "") == "call" for p in r.user_properties]
    kills = [value for name, value in noted if name == "kill"]
    if kills:
        terminalreporter.section("kills")
        terminalreporter.write_line("\n".join(text for _, text in kills))
        worst = max(seconds for seconds, _ in kills)
        terminalreporter.write_line(
            f"{len(kills)} cells; from kill to the run's end at most {worst:.1f} s"
        )


def pytest_configure(config: pytest.Config) -> None:
    """Make the folder of what this session's processes remember together, and say what goes on."""
    from tests.support.remembered import PLACE
    from tests.support.running import announce

    announce(config)

    if PLACE not in os.environ:
        folder = tempfile.TemporaryDirectory(prefix="silosynth-epsilons-")
        os.environ[PLACE] = folder.name
        config.add_cleanup(lambda: os.environ.__delitem__(PLACE))
        config.add_cleanup(folder.cleanup)


@pytest.fixture(autouse=True, scope="session")
def _epsilons_worked_out_once() -> Iterator[None]:
    """Work out each epsilon once a session: an accountant's seconds are what no test is about.

    It is a function of its arguments alone, and every test of it still works it out.
    """
    from tests.support.remembered import remembered_epsilons

    with remembered_epsilons():
        yield


@contextmanager
def _bits_fixed() -> Iterator[None]:
    """Give this process's silos bits with fixed starts, where randomness proves nothing.

    What is learnt through noise has no law to work a tolerance out of; so it has one outcome.
    """
    from silosynth.client.noise import SystemBits
    from tests.support.chance import FixedBits

    sources: WeakKeyDictionary[SystemBits, FixedBits] = WeakKeyDictionary()

    def words(self: SystemBits, count: int) -> np.ndarray:
        if self not in sources:
            sources[self] = FixedBits(next(starts))
        return sources[self].words(count)

    starts = itertools.count(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SystemBits, "words", words)
        yield


@pytest.fixture
def fixed_bits() -> Iterator[None]:
    """Fix the bits of a test's silos."""
    with _bits_fixed():
        yield


@pytest.fixture(scope="module")
def fixed_bits_of_a_module() -> Iterator[None]:
    """Fix the bits of silos that the tests of a module share."""
    with _bits_fixed():
        yield


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Take the tests of this depth, the dearest first; count the cases of statistical tests.

    More of them than its false-alarm probability is shared by are refused, and so is a matrix
    whose kept cell is gone.
    """
    from tests.support.dearest import begun_first

    _count_cases(items)
    _keep_depth(config, items)
    items[:] = [items[place] for place in begun_first([item.nodeid for item in items])]


def _keep_depth(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect what is of another depth."""
    from tests.support.deep import Depth, chosen, unwatched

    nodes = [item.nodeid for item in items]
    named = [_node_of(config, argument) for argument in config.args if "::" in argument]
    if not named and (lost := unwatched(nodes)):
        raise pytest.UsageError(f"tests/support/deep.py names what is not there: {lost}")
    depth = Depth.DEEP if config.getoption("deep") else Depth.USUAL
    runs = chosen(nodes, depth=Depth.ALL if config.getoption("all") else depth, named=named)
    config.hook.pytest_deselected(items=[i for i, run in zip(items, runs, strict=True) if not run])
    items[:] = [item for item, run in zip(items, runs, strict=True) if run]


def _node_of(config: pytest.Config, argument: str) -> str:
    """Return the node id that an argument of the command line names."""
    path, _, rest = argument.partition("::")
    place = (config.invocation_params.dir / path).resolve()
    return f"{place.relative_to(config.rootpath.resolve()).as_posix()}::{rest}"


def _count_cases(items: list[pytest.Item]) -> None:
    """Refuse more cases of a statistical test than share its alarm."""
    tests: list[Any] = [getattr(item, "function", None) for item in items]
    cases = Counter(test for test in tests if hasattr(test, "statistical_cases"))
    for test, count in cases.items():
        if count > test.statistical_cases:
            raise pytest.UsageError(
                f"{test.__name__} shares its alarm by {test.statistical_cases}, "
                f"and has {count} cases"
            )
