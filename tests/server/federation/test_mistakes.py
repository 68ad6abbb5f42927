"""A mistake in a federation's files or clock is named, and leaves no run behind."""

from __future__ import annotations

import time
from email.utils import formatdate
from pathlib import Path

import httpx
import pytest

from silosynth.common.cli.app import run
from silosynth.common.errors import ConnectionFailed
from silosynth.common.plan import dump_plan
from silosynth.common.schema import dump_schema
from silosynth.server.federation import Federation, add_federation, make_certs, pump
from silosynth.server.federation.certs import Certs
from silosynth.server.federation.settings import HOME
from silosynth.server.federation.superlink_calls import SuperLinkFault, converted
from tests.support.fakes import SILOS, small_schema
from tests.support.signed_fakes import signed_plan


@pytest.fixture
def certs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certs:
    """Make a home with one federation, whose SuperLink nobody started, and a plan."""
    made = make_certs(tmp_path / "certs", silos=SILOS, hosts=("localhost",))
    home = tmp_path / "home"
    monkeypatch.setenv(HOME, str(home))
    federation = Federation(
        superlink="localhost:1", ca=made.ca, identity=made.identity, superexec_secret=made.secret
    )
    add_federation(home, "f", federation)
    (tmp_path / "plan.yaml").write_text(dump_plan(signed_plan()))
    (tmp_path / "schema.yaml").write_text(dump_schema(small_schema()))
    return made


def _run(directory: Path) -> int:
    plan, schema = str(directory / "plan.yaml"), str(directory / "schema.yaml")
    return run(["run", plan, "--schema", schema, "--federation", "f"])


def _left_behind(directory: Path) -> list[Path]:
    return list((directory / "home" / "runs").glob("*"))


@pytest.mark.parametrize(
    ("file", "data", "words"),
    [
        ("ca", b"no certificate", "is no certificate"),
        ("ca", b"", "is no certificate"),
        ("ca", None, "cannot read"),
        ("secret", b"", "is empty"),
        ("secret", b" \n", "is empty"),
        ("secret", None, "cannot read"),
        ("identity", b"no key", "is no private key"),
        ("identity", None, "cannot read the key"),
    ],
)
def test_a_wrong_file_is_named_before_a_run_is_begun(
    file: str,
    data: bytes | None,
    words: str,
    certs: Certs,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = getattr(certs, file)
    path.unlink() if data is None else path.write_bytes(data)
    assert _run(tmp_path) == 4
    said = " ".join(capsys.readouterr().err.split())
    assert words in said
    assert path.name in said
    assert _left_behind(tmp_path) == []


@pytest.mark.parametrize("kind", [ConnectionFailed, SuperLinkFault])
def test_a_superlink_that_takes_no_run_leaves_none(
    kind: type[ConnectionFailed], certs: Certs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise kind("the SuperLink answered 401")

    monkeypatch.setattr(pump, "open_grid", refuse)
    assert _run(tmp_path) == 2
    assert _left_behind(tmp_path) == []


def _denied(*, ahead: float | None) -> httpx.HTTPStatusError:
    request = httpx.Request("POST", "https://host/v1/runtime/acquire-task")
    date = {} if ahead is None else {"date": formatdate(time.time() - ahead, usegmt=True)}
    return httpx.HTTPStatusError(
        "denied", request=request, response=httpx.Response(401, request=request, headers=date)
    )


@pytest.mark.parametrize("ahead", [20.0, -400.0, 3600.0])
def test_a_refusal_by_the_clock_is_no_wrong_secret(ahead: float) -> None:
    with pytest.raises(ConnectionFailed, match="this machine's clock is") as raised, converted():
        raise _denied(ahead=ahead)
    assert "secret" not in str(raised.value)
    assert ("ahead of" if ahead > 0 else "behind") in raised.value.message


@pytest.mark.parametrize("ahead", [0.0, None])
def test_a_refusal_with_a_right_clock_is_a_wrong_secret(ahead: float | None) -> None:
    with pytest.raises(ConnectionFailed, match="superexec secret"), converted():
        raise _denied(ahead=ahead)
