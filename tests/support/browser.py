"""A real browser that a test uses as a person does: keys, text, what is on the screen.

Chromium is spoken to by its own protocol over two pipes, so no driver and no port is needed.
Source: https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import json
import os
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.simulations.test_report_browser import find_chromium
from tests.support.patience import patience

WAIT_SECONDS = 30.0
_KEYS = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32}
_FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-extensions"),
    *("--disable-background-networking", "--disable-dev-shm-usage", "--hide-scrollbars"),
    *("--remote-debugging-pipe", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
)


class Chromium:
    """Own one tab of a browser; what it complains of is kept in ``said``."""

    def __init__(self, process: subprocess.Popen[bytes], *, write: int, read: int) -> None:
        self._process, self._write, self._read = process, write, read
        self._number, self._rest = 0, b""
        self._session: str | None = None
        self.said: list[str] = []
        self.loads = 0
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Accessibility"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **words: Any) -> Any:
        """Call one method of the protocol and return its result."""
        self._number += 1
        asked: dict[str, Any] = {"id": self._number, "method": method, "params": words}
        if self._session is not None:
            asked["sessionId"] = self._session
        os.write(self._write, json.dumps(asked).encode() + b"\0")
        until = time.monotonic() + patience(WAIT_SECONDS)
        while True:
            told = self._next(until)
            if told.get("id") == self._number:
                assert "error" not in told, told["error"]
                return told["result"]
            self._note(told)

    def open(self, address: str) -> None:
        """Go to an address, and wait until it is there."""
        with self.loading():
            self.call("Page.navigate", url=address)

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Wait for the page that what is done in the block leads to."""
        before = self.loads
        yield
        until = time.monotonic() + patience(WAIT_SECONDS)
        while self.loads == before:
            self._note(self._next(until))

    def value(self, script: str) -> Any:
        """Return what an expression is on the page."""
        return self.call("Runtime.evaluate", expression=script, returnByValue=True)["result"].get(
            "value"
        )

    def wait_for(self, script: str) -> None:
        """Wait until an expression is true on the page."""
        until = time.monotonic() + patience(WAIT_SECONDS)
        while not self.value(script):
            assert time.monotonic() < until, (script, self.text())
            time.sleep(0.1)

    def text(self) -> str:
        """Return what stands on the page."""
        return str(self.value("document.body.innerText"))

    def press(self, key: str) -> None:
        """Press one key."""
        code = _KEYS[key]
        extra = {"text": "\r"} if key == "Enter" else {"text": key} if key == " " else {}
        plain = {"key": key, "windowsVirtualKeyCode": code, "code": key}
        self.call("Input.dispatchKeyEvent", type="keyDown", **plain, **extra)
        self.call("Input.dispatchKeyEvent", type="keyUp", **plain)

    def tab_to(self, script: str) -> None:
        """Press Tab until what has the focus is the one that a selector names."""
        for _ in range(60):
            if self.value(f"document.activeElement.matches({json.dumps(script)})"):
                return
            self.press("Tab")
        raise AssertionError(f"no Tab leads to {script}")

    def type(self, text: str) -> None:
        """Write into what has the focus."""
        self.call("Input.insertText", text=text)

    def tree(self) -> list[tuple[str, str]]:
        """Return what a screen reader is told, as roles and names."""
        nodes = self.call("Accessibility.getFullAXTree")["nodes"]
        return [
            (str(n["role"]["value"]), str(n.get("name", {}).get("value", "")))
            for n in nodes
            if not n["ignored"] and "role" in n
        ]

    def look(
        self, *, width: int = 1000, height: int = 900, dark: bool = False, media: str = ""
    ) -> None:
        """Take a screen of a size, in the light or in the dark, or paper."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=900,
            deviceScaleFactor=1,
            mobile=width < 500,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def picture(self, path: Path) -> None:
        """Write what is on the screen."""
        data = self.call("Page.captureScreenshot", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))

    def _next(self, until: float) -> dict[str, Any]:
        """Return the next message."""
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0.0, until - time.monotonic()))
            assert ready, "the browser says nothing"
            piece = os.read(self._read, 1 << 20)
            assert piece, "the browser ended"
            self._rest += piece
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))

    def _note(self, told: dict[str, Any]) -> None:
        """Keep what a page complains of, and count those that have come."""
        if told.get("method") == "Page.loadEventFired":
            self.loads += 1
        elif told.get("method") == "Log.entryAdded":
            entry = told["params"]["entry"]
            self.said.append(f"{entry['text']} {entry.get('url', '')}")
        elif told.get("method") in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            self.said.append(json.dumps(told["params"])[:500])


@contextmanager
def chromium() -> Iterator[Chromium]:
    """Start a browser with a profile of its own; end it with the block."""
    asked_read, asked_write = os.pipe()
    told_read, told_write = os.pipe()
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        command = f'exec "$@" 3<&{asked_read} 4>&{told_write}'
        words = [
            "bash",
            "-c",
            command,
            "bash",
            find_chromium(),
            *_FLAGS,
            f"--user-data-dir={profile}",
        ]
        process = subprocess.Popen(
            words,
            pass_fds=(asked_read, told_write),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(asked_read)
        os.close(told_write)
        try:
            yield Chromium(process, write=asked_write, read=told_read)
        finally:
            os.close(asked_write)
            os.close(told_read)
            process.terminate()
            try:
                process.wait(patience(10))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(patience(10))
