"""A real browser for tests: headless Chromium, driven over a pipe by the DevTools protocol.

https://chromedevtools.github.io/devtools-protocol/; on ``--remote-debugging-pipe`` a message is JSON and a NUL.
"""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: A chart takes milliseconds; a loaded machine may take long to start a browser.
PATIENCE_S = 120.0
NAMES = ("chromium", "chromium-browser", "google-chrome")


def program() -> str | None:
    """Chromium, where it is installed."""
    return next((found for found in map(shutil.which, NAMES) if found), None)


class Browser:
    """One tab, and all that it complained of or asked the network for.

    Attributes:
        complaints: errors and warnings of the console, exceptions, and what the browser logged.
        requests: URLs that were asked for.
    """

    def __init__(self, to_browser: int, from_browser: int) -> None:
        self._to, self._from = to_browser, from_browser
        self._received = b""
        self._number = 0
        self._session: str | None = None
        self.complaints: list[str] = []
        self.requests: list[str] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> Any:
        """The answer to one command.

        Raises:
            RuntimeError: the browser refused it.
            TimeoutError: it gave no answer.
        """
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._to, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + PATIENCE_S
        while True:
            found = self._message(deadline)
            if found.get("id") == self._number:
                if "error" in found:
                    raise RuntimeError(f"{method}: {found['error']}")
                return found["result"]
            self._note(found)

    def open(self, path: Path, width: int = 1280, height: int = 900, scheme: str = "light") -> None:
        """Show a file and wait until its charts are drawn."""
        self.complaints.clear()
        self.requests.clear()
        self.emulate(scheme)
        mobile = width < 600
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.wait("document.documentElement?.dataset.charts === 'drawn'")

    def emulate(self, scheme: str, media: str = "screen") -> None:
        """What the system prefers, and whether it prints."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)

    def value(self, expression: str) -> Any:
        """What an expression is in the page.

        Raises:
            RuntimeError: it threw.
        """
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in found:
            raise RuntimeError(str(found["exceptionDetails"]))
        return found["result"].get("value")

    def wait(self, expression: str) -> None:
        """Until an expression holds.

        Raises:
            TimeoutError: it never did.
        """
        deadline = time.monotonic() + PATIENCE_S
        while not self.value(expression):
            if time.monotonic() > deadline:
                raise TimeoutError(f"never: {expression}; {self.complaints}")
            time.sleep(0.05)

    def press(self, key: str) -> None:
        """A key, as a person presses it."""
        text = {"Enter": "\r"}.get(key, "")
        code = {"Enter": 13, "Tab": 9}[key]
        common = {"key": key, "code": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", text=text, **common)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def _message(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._from], [], [], max(0.0, deadline - time.monotonic()))
            part = os.read(self._from, 1 << 20) if ready else b""
            if not part:
                raise TimeoutError("the browser gave no answer")
            self._received += part
        first, _, self._received = self._received.partition(b"\0")
        found: dict[str, Any] = json.loads(first)
        return found

    def _note(self, event: dict[str, Any]) -> None:
        parameters = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent":
                self.requests.append(parameters["request"]["url"])
            case "Runtime.exceptionThrown":
                self.complaints.append(json.dumps(parameters["exceptionDetails"]))
            case "Runtime.consoleAPICalled" if parameters["type"] in ("error", "warning", "assert"):
                self.complaints.append(json.dumps(parameters["args"]))
            case "Log.entryAdded" if parameters["entry"]["level"] in ("error", "warning"):
                self.complaints.append(json.dumps(parameters["entry"]))


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser with a profile of its own, ended with all that belongs to it."""
    found = program()
    assert found is not None
    read_by_it, ours_to_write = os.pipe()
    ours_to_read, written_by_it = os.pipe()

    def place() -> None:
        # It reads 3 and writes 4; copies first, since one of the pipes may have these numbers.
        source, sink = os.dup(read_by_it), os.dup(written_by_it)
        high = [os.dup2(fd, 100 + n) for n, fd in enumerate((source, sink))]
        os.dup2(high[0], 3)
        os.dup2(high[1], 4)

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options = ["--headless", "--remote-debugging-pipe", "--no-sandbox", "--disable-gpu", "--no-first-run"]
        process = subprocess.Popen(
            [found, *options, "--disable-dev-shm-usage", f"--user-data-dir={profile}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=place,
            pass_fds=(3, 4),
        )
        os.close(read_by_it)
        os.close(written_by_it)
        try:
            yield Browser(ours_to_write, ours_to_read)
        finally:
            os.close(ours_to_write)  # it ends when its pipe does
            os.close(ours_to_read)
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
