"""A coordinator's home as the command line makes it, whose SuperLink is away."""

from __future__ import annotations

from pathlib import Path

import pytest

from silosynth.common.plan import dump_plan
from silosynth.common.schema import dump_schema
from silosynth.server.federation import Federation, add_federation, make_certs
from tests.support.fakes import small_schema
from tests.support.signed_fakes import signed_plan


def make_home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Make a home with the federation ``f``; return the files of a plan and its schema."""
    certs = make_certs(folder / "certs", silos=["north"], hosts=["localhost"])
    home = folder / "home"
    monkeypatch.setenv("SILOSYNTH_HOME", str(home))
    known = Federation(
        superlink="localhost:9",
        ca=certs.ca,
        identity=certs.identity,
        superexec_secret=certs.secret,
    )
    add_federation(home, "f", known)
    plan, schema = folder / "plan.yaml", folder / "schema.yaml"
    plan.write_text(dump_plan(signed_plan()))
    schema.write_text(dump_schema(small_schema()))
    return plan, schema
