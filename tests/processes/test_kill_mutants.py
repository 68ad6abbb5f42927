"""The kill matrix notices what it is for: each of these breaks one promise, and a cell dies."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.processes.cells import Cell, survive
from tests.processes.lab import Lab
from tests.processes.reference import Reference


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """Start what forks gateways, once."""
    with Lab(tmp_path_factory.mktemp("mutants")) as started:
        yield started


@pytest.fixture(scope="module")
def reference(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reference]:
    """Open the twins of the laboratory's silos, once."""
    twins = Reference(lab, tmp_path_factory.mktemp("twins"))
    yield twins
    twins.close()


def _cell(victim: str, label: str, *, witness: str = "", nth: int = 1) -> Cell:
    return Cell(victim=victim, label=label, witness=witness, nth=nth, method="independent")


def _sum(victim: str, label: str, *, nth: int = 1) -> Cell:
    return replace(_cell(victim, label, nth=nth), trust="shared")


MUTANTS = {
    "charge-after-read": (_cell("gateway-north", "one-way:counted"), "charge at death"),
    "store-after-send": (
        _cell("gateway-north", "one-way:after-record", witness="coordinator", nth=3),
        "left without being stored|two answers to one charge",
    ),
    "charge-again-after-restart": (
        _cell("gateway-north", "fit:before-fit", witness="coordinator"),
        "charged",
    ),
    "noise-again": (
        _cell("coordinator", "one-way:after-record", nth=3),
        "two answers to one charge",
    ),
    "refund-at-restart": (_cell("gateway-north", "one-way:counted"), "entries .* were lost"),
    "journal-late": (_cell("coordinator", "one-way:before-send"), "journal at death"),
}
SUM_MUTANTS = {
    "noise-again": (
        _sum("coordinator", "one-way:after-record", nth=3),
        "two answers to one charge",
    ),
    "charge-after-read": (
        _sum("gateway-north", "values:counted"),
        "the set at a charge",
    ),
    "masks-anew": (
        _sum("gateway-north", "one-way:noised"),
        r"not the one of an undisturbed run|trust='shared'\)\]: \{",
    ),
    "sums-in-memory": (_sum("gateway-north", "keys:before-send"), "keys at death"),
    "secret-dropped-early": (_sum("gateway-north", "one-way:noised"), "the secret of the masks"),
    "secret-kept": (_sum("coordinator", "set:before-send"), "keeps secrets"),
    "journal-late": (_sum("coordinator", "set:before-send"), "journal at death"),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mutant_dies_in_the_matrix(mutant: str, lab: Lab, reference: Reference) -> None:
    _dies(mutant, *MUTANTS[mutant], lab=lab, reference=reference, name=mutant)


@pytest.mark.parametrize("mutant", SUM_MUTANTS)
def test_a_mutant_dies_in_the_matrix_of_sums(mutant: str, lab: Lab, reference: Reference) -> None:
    _dies(mutant, *SUM_MUTANTS[mutant], lab=lab, reference=reference, name=f"sum-{mutant}")


def _dies(
    mutant: str, cell: Cell, promise: str, *, lab: Lab, reference: Reference, name: str
) -> None:
    lab.renew(mutant=mutant)
    with pytest.raises(AssertionError, match=promise):
        survive(lab, cell, name=name, reference=reference, mutant=mutant)
