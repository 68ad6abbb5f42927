"""The data sets of the AIM benchmark, how they are split, and how a drawn table is scored."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bench.peers.run import PEERS, ROOT
from bench.support.pooled import coded_schema
from bench.support.tables import load_adult, load_case, vouch
from silosynth.common.domain import Domain
from silosynth.common.schema import Schema
from silosynth.common.scores import all_cliques, fixed_cliques, marginal_distance

ORDERED = frozenset(
    {"age", "fnlwgt", "education-num", "capital-gain", "capital-loss", "hours-per-week"}
)
DIRICHLET = 0.1
BRFSS_ATTRIBUTES = 20


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Ground:
    """One data set: its schema, rows by code, and delta.

    ``test`` holds rows that nobody trains on, and ``silos`` the place of each row.
    """

    name: str
    schema: Schema
    codes: np.ndarray
    delta: float
    silos: np.ndarray | None = None
    test: np.ndarray | None = None

    @property
    def domain(self) -> Domain:
        """Return the sizes of the attributes."""
        return self.schema.domain

    def scores(self, columns: tuple[np.ndarray, ...]) -> list[float]:
        """Return the mean 2-way and 3-way distance from the rows, and the AUC if there is one."""
        sets = (all_cliques(self.domain, 2), fixed_cliques(self.domain, 3, count=64, seed=0))
        real = tuple(self.codes.T)
        distances = [
            float(marginal_distance(real, columns, domain=self.domain, cliques=cliques).mean())
            for cliques in sets
        ]
        if self.test is None:
            return distances
        return [*distances, test_auc(np.stack(columns, axis=1), test=self.test)]


def test_auc(train: np.ndarray, *, test: np.ndarray) -> float:
    """Return the AUC of gradient boosting that is trained on a table; last column: the label."""
    if not (PEERS / "auc" / "READY").exists():
        raise SystemExit(f"{PEERS / 'auc'} is not set up; run make bench-setup")
    with tempfile.TemporaryDirectory() as directory:
        source = Path(directory) / "in.npz"
        np.savez(source, train=train, test=test)
        command: list[str | Path] = [
            PEERS / "auc" / "bin" / "python",
            "-m",
            "bench.aim.auc",
            source,
        ]
        done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return float(done.stdout)


def load_ground(name: str) -> Ground:
    """Return Adult (private-pgm's codes, 80 % of the rows), ACS by PUMA or BRFSS.

    BRFSS has 20 of its 40 attributes: with all, the published mechanism takes hours a seed.
    """
    if name == "adult":
        domain, codes = load_adult()
        order = np.random.default_rng(7).permutation(len(codes))
        kept, test = np.split(order, [len(codes) * 4 // 5])
        schema = coded_schema("adult", domain=domain, ordered=ORDERED)
        return Ground(name=name, schema=schema, codes=codes[kept], test=codes[test], delta=1e-9)
    files = {"acs": ("nist_acs", "national2019.csv"), "brfss": ("brfss2022", "brfss2022.parquet")}
    attributes = BRFSS_ATTRIBUTES if name == "brfss" else None
    case = vouch(load_case(*files[name], attributes=attributes))
    column = case.domain.index("PUMA") if name == "acs" else None
    silos = None if column is None else case.codes[:, column]
    return Ground(name=name, schema=case.schema, codes=case.codes, delta=1e-6, silos=silos)


def split_rows(ground: Ground, *, silos: int, how: str) -> list[np.ndarray]:
    """Return the rows of each silo: equal and random, or by Dirichlet shares of the last column."""
    rng = np.random.default_rng(11)
    if how == "natural" and ground.silos is not None:
        members = [np.flatnonzero(ground.silos == v) for v in np.unique(ground.silos)]
    elif how == "iid":
        members = np.array_split(rng.permutation(len(ground.codes)), silos)
    else:
        label = ground.codes[:, -1]
        members = [np.empty(0, dtype=np.int64) for _ in range(silos)]
        for value in np.unique(label):
            rows = rng.permutation(np.flatnonzero(label == value))
            cuts = np.cumsum(rng.dirichlet(np.full(silos, DIRICHLET)))[:-1]
            parts = np.split(rows, (cuts * len(rows)).astype(int))
            members = [np.concatenate(two) for two in zip(members, parts, strict=True)]
    return [ground.codes[m] for m in members if len(m)]
