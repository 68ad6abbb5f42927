"""The page in a browser: it shows its numbers, runs nothing, loads nothing, and is not blank."""

from __future__ import annotations

import json
import re
import shutil
import struct
import subprocess
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow as pa
import pytest

from silosynth.common.certificate import certify_plan
from silosynth.common.codec import Codec
from silosynth.common.evaluate import Made, Wish
from silosynth.common.evaluate.compare import compare
from silosynth.common.evaluate.evaluate import evaluate
from silosynth.common.evaluate.made import Guarantee
from silosynth.common.measurement import Measurement
from silosynth.common.report import Audit, Mode, ReportFacts, write_report
from silosynth.common.report.layout import render_report
from silosynth.common.schema import parse_schema
from silosynth.server.planning import new_plan
from silosynth.server.report.measured import from_measurements
from tests.support.patience import patience

HOSTILE = "\"><script>document.title='ran'</script><img src=x onerror=document.title='ran'>"
NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
PAPER_LIGHT, PAPER_DARK, RIBBON_LIGHT = (0xFC, 0xFB, 0xF8), (0x14, 0x17, 0x1A), (0x7A, 0x2E, 0x0E)
CONTROL = """<!DOCTYPE html><html><body><img src="http://report.invalid/a.png">
<script>console.error("said"); document.title = "ran"</script></body></html>"""
PROBE = """<script>
const wide = [...document.querySelectorAll("body *")].filter(e =>
  !e.closest(".scroll, .heatmap-frame, svg, .skip") &&
  e.getBoundingClientRect().right > innerWidth + 1);
const flat = [...document.querySelectorAll("svg[role=img]")].filter(e =>
  !e.closest("details") && e.getBoundingClientRect().height < 5);
document.title = JSON.stringify({wide: wide.length, flat: flat.length,
  scroll: document.documentElement.scrollWidth - innerWidth});
</script>"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """What a browser made of a page."""

    dom: str
    console: tuple[str, ...]
    hosts: frozenset[str]
    shot: bytes

    @property
    def title(self) -> str:
        found = re.search(r"<title>(.*?)</title>", self.dom, re.DOTALL)
        return found.group(1) if found else ""

    @property
    def pixels(self) -> np.ndarray:
        return read_png(self.shot)


def make_facts(
    names: tuple[str, str, str] = ("colour", "age", "member"), mode: Mode = Mode.SIMULATION
) -> ReportFacts:
    """Return facts of a small run over three attributes, the first with a hostile category."""
    schema = parse_schema(
        {
            "name": "people",
            "attributes": [
                {
                    "name": names[0],
                    "kind": "categorical",
                    "categories": ["red", HOSTILE],
                    "missing": True,
                    "source": "declared",
                },
                {
                    "name": names[1],
                    "kind": "integer",
                    "minimum": 0,
                    "maximum": 99,
                    "source": "declared",
                },
                {"name": names[2], "kind": "boolean"},
            ],
        }
    )
    plan = new_plan(schema, epsilon=1.0, delta=1e-6, silos=["north", "south"], plan_id="people-1")
    shared: dict[str, Any] = {
        "schema": schema,
        "plan": plan,
        "certificate": certify_plan(plan),
        "costs": {"north": 10**10, "south": 10**10},
    }
    real, synthetic = (_make_table(names, seed=seed) for seed in (1, 2))
    if mode is Mode.SIMULATION:
        return compare(real, synthetic, **shared)
    codes = Codec(schema=schema).encode(real).codes
    counts = {
        (a.name,): np.bincount(c, minlength=a.size).astype(np.float64)
        for a, c in zip(schema.coded, codes, strict=True)
    }
    measurements = [
        Measurement(clique=c, values=v - 7.0, variance=np.full(v.shape, 25.0))
        for c, v in counts.items()
    ]
    return from_measurements(measurements, counts.__getitem__, **shared)  # type: ignore[arg-type]  # as loose as a test may be


def _make_table(names: tuple[str, str, str], *, seed: int) -> pa.Table:
    """Return 300 rows, the second attribute dependent on the third."""
    rng = np.random.default_rng(seed)
    member = rng.random(300) < 0.3
    columns = [
        pa.array(rng.choice(["red", HOSTILE, None], size=300).tolist(), type=pa.string()),  # type: ignore[arg-type]  # as loose as a test may be
        pa.array(np.clip(rng.normal(40 + 20 * member, 12), 0, 99).astype(np.int64)),
        pa.array(member),
    ]
    return pa.table(columns, names=list(names))


def find_chromium() -> str:
    """Return the browser, or fail with the remedy: this test is never skipped."""
    for name in NAMES:
        if path := shutil.which(name):
            return path
    pytest.fail("Chromium is missing; install it, on Debian with: apt-get install chromium")


def visit(page: Path, scratch: Path, *flags: str, size: tuple[int, int] = (700, 500)) -> Visit:
    """Open a file in headless Chromium with no name resolution."""
    scratch.mkdir()
    shot, net = scratch / "shot.png", scratch / "net.json"
    done = subprocess.run(
        [
            find_chromium(),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--disable-extensions",
            "--disable-background-networking",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            "--virtual-time-budget=2000",
            "--enable-logging=stderr",
            f"--user-data-dir={scratch / 'profile'}",
            f"--log-net-log={net}",
            f"--window-size={size[0]},{size[1]}",
            f"--screenshot={shot}",
            "--dump-dom",
            *flags,
            page.as_uri(),
        ],
        capture_output=True,
        timeout=patience(120),
        check=True,
    )
    lines = done.stderr.decode(errors="replace").splitlines()
    events = json.loads(net.read_text())["events"]
    urls = (e.get("params", {}).get("url", "") for e in events if isinstance(e.get("params"), dict))
    return Visit(
        dom=done.stdout.decode(),
        console=tuple(line for line in lines if ":CONSOLE" in line),
        hosts=frozenset(urlsplit(u).netloc for u in urls if u.startswith("http")),
        shot=shot.read_bytes(),
    )


def read_png(data: bytes) -> np.ndarray:
    """Return (height, width, 3) uint8 of an 8-bit RGB or RGBA image (PNG specification, 9.2)."""
    place, packed = 8, b""
    width = height = channels = 0
    while place < len(data):
        length, kind = struct.unpack(">I4s", data[place : place + 8])
        body = data[place + 8 : place + 8 + length]
        if kind == b"IHDR":
            width, height, depth, colour = struct.unpack(">IIBB", body[:10])
            channels = {2: 3, 6: 4}[colour]
            assert depth == 8
        if kind == b"IDAT":
            packed += body
        place += 12 + length
    raw, stride = zlib.decompress(packed), width * channels
    rows = [bytearray(stride)]
    for start in range(0, len(raw), stride + 1):
        rows.append(_unfilter(raw[start], raw[start + 1 : start + 1 + stride], rows[-1], channels))
    return np.asarray(rows[1:], dtype=np.uint8).reshape(height, width, channels)[:, :, :3]


def _unfilter(kind: int, row: bytes, above: bytearray, step: int) -> bytearray:
    """Undo one row's filter: none, left, above, mean or Paeth."""
    out = bytearray(len(row))
    for i, byte in enumerate(row):
        left = out[i - step] if i >= step else 0
        corner = above[i - step] if i >= step else 0
        guesses = (0, left, above[i], (left + above[i]) // 2)
        guess = guesses[kind] if kind < 4 else _paeth(left, above[i], corner)
        out[i] = (byte + guess) & 255
    return out


def _paeth(left: int, above: int, corner: int) -> int:
    """Return whichever neighbour is nearest to left + above - corner, in this order."""
    guess = left + above - corner
    return min((left, above, corner), key=lambda neighbour: abs(guess - neighbour))


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Visit:
    """Return what the browser does with a page that says nothing and asks for an image."""
    scratch = tmp_path_factory.mktemp("blank")
    (scratch / "control.html").write_text(CONTROL)
    return visit(scratch / "control.html", scratch / "visit")


def open_report(facts: ReportFacts, scratch: Path, blank: Visit, *flags: str) -> Visit:
    """Open a written report and check that it asked for nothing and complained of nothing."""
    page, _ = write_report(facts, scratch / "out")
    seen = visit(page, scratch / "visit", *flags)
    assert seen.console == ()
    assert seen.hosts <= blank.hosts - {"report.invalid"}
    return seen


def test_the_browser_would_notice_a_script_and_a_request(blank: Visit) -> None:
    assert blank.title == "ran"
    assert any("said" in line for line in blank.console)
    assert "report.invalid" in blank.hosts


def test_a_simulation_report_shows_its_numbers_and_is_not_blank(
    tmp_path: Path, blank: Visit
) -> None:
    facts = make_facts()
    seen = open_report(facts, tmp_path, blank)
    for score in facts.scores:
        for value in (score.value, score.floor, score.ceiling):
            assert f"{value:.4f}" in seen.dom
    assert "not differentially private" in seen.dom
    assert "must not leave" in seen.dom
    assert seen.dom.count('<article class="card">') == len(facts.attributes)
    colours = {tuple(int(v) for v in c) for c in seen.pixels.reshape(-1, 3)}
    assert {PAPER_LIGHT, RIBBON_LIGHT} <= colours
    assert len(colours) > 20


def test_a_federation_report_shows_its_numbers(tmp_path: Path, blank: Visit) -> None:
    facts = make_facts(mode=Mode.FEDERATION)
    seen = open_report(facts, tmp_path, blank)
    assert "No real row was read" in seen.dom
    for score in facts.scores:
        assert f"{score.value:.2f}" in seen.dom


def test_dark_mode_turns_the_paper_dark(tmp_path: Path, blank: Visit) -> None:
    seen = open_report(make_facts(), tmp_path, blank, "--force-dark-mode")
    assert tuple(seen.pixels[-1, 0]) == PAPER_DARK


def test_hostile_names_do_not_run_even_without_the_policy(tmp_path: Path) -> None:
    page = render_report(make_facts(names=(HOSTILE, "b", "c")))
    bare = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    assert len(bare) < len(page)
    (tmp_path / "bare.html").write_text(bare)
    seen = visit(tmp_path / "bare.html", tmp_path / "visit")
    assert seen.console == ()
    assert seen.title == "people: synthetic table report"
    assert "<script" not in seen.dom
    assert "<img" not in seen.dom


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    """Return a plain page, and one with everything that an attacked and audited table shows."""
    names = (HOSTILE, "x" * 128, "c")
    real, made, control = (_make_table(names, seed=seed) for seed in (1, 2, 3))
    facts = make_facts(names=names)
    judged = evaluate(
        real,
        made,
        control=control,
        wish=Wish(targets=("c",), groups=(HOSTILE,), attack=True),
        made=Made(
            guarantee=Guarantee(epsilon=1.0, delta=1e-6, unit="person", mu=0.27),
            audit=Audit(claimed=1.0, at_least=0.9, delta=1e-6, games=4_800),
        ),
    )
    attacked = facts.model_copy(update={"evaluation": judged})
    return {"plain": render_report(facts), "attacked": render_report(attacked)}


@pytest.mark.parametrize("kind", ["plain", "attacked"])
@pytest.mark.parametrize("width", [400, 1400])
def test_the_page_fits_its_window(
    tmp_path: Path, width: int, kind: str, pages: dict[str, str]
) -> None:
    page = pages[kind]
    assert ("No evidence" in page) is (kind == "attacked")
    bare = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", page)
    (tmp_path / "probe.html").write_text(bare.replace("</body>", PROBE + "</body>"))
    seen = visit(tmp_path / "probe.html", tmp_path / "visit", size=(width, 500))
    assert json.loads(seen.title) == {"wide": 0, "flat": 0, "scroll": 0}
