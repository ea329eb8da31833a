"""Headless Chromium, driven through its debugging pipe: opens a page as people do, and reports what they would see.

The pipe needs no library and no port: a message is JSON that ends with a zero byte, on the browser's descriptors 3, 4.
"""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

WIDTHS = 400, 1280
SCHEMES = "light", "dark"
_LIMIT_S = 240.0

# What a page must have, found out inside it.
_LOOK = """(() => {
  const seen = e => { const b = e.getBoundingClientRect(); return b.width > 0 && b.height > 0; };
  const sections = [...document.querySelectorAll("main > section")];
  return {
    scroll: document.documentElement.scrollWidth, inner: window.innerWidth,
    height: document.documentElement.scrollHeight,
    title: document.title, answer: document.querySelector("#answer")?.innerText ?? "",
    sections: Object.fromEntries(sections.map(s => [s.id, s.innerText])),
    empty: sections.filter(s => ![...s.children].some(c => c.tagName != "H2" && seen(c))).map(s => s.id),
    broken: [...document.images].filter(i => !i.naturalWidth).map(i => i.alt),
    ids: [...document.querySelectorAll("[id]")].map(e => e.id),
    dangling: [...document.querySelectorAll('a[href^="#"]')].map(a => a.getAttribute("href"))
      .filter(h => !document.getElementById(h.slice(1))),
    scripts: document.scripts.length,
    // Text that leaves its section without a box of its own that scrolls.
    cut: sections.flatMap(s => [...s.querySelectorAll("*")].filter(e => {
      if (e.closest(".table, .drawing, pre, details:not([open]), .close")) return false;
      return seen(e) && e.getBoundingClientRect().right > s.getBoundingClientRect().right + 1;
    }).map(e => e.outerHTML.slice(0, 120))),
  };
})()"""


@dataclass(frozen=True)
class Seen:
    """A page at one width and scheme."""

    width: int
    scheme: str
    title: str
    answer: str
    sections: dict[str, str]
    screenshot: Path


class Browser:
    """A browser with one tab."""

    def __init__(self, process: subprocess.Popen[bytes], write: int, read: int) -> None:
        self._process, self._write, self._read = process, write, read
        self._buffer, self._number, self._session = b"", 0, ""
        self._events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """One command of the protocol, and its result."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != self._number:
            self._events.append(answer)
        assert "error" not in answer, answer
        result = answer["result"]
        assert isinstance(result, dict)
        return result

    def _next(self) -> dict[str, Any]:
        end = time.monotonic() + _LIMIT_S
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], max(0.0, end - time.monotonic()))
            data = os.read(self._read, 1 << 20) if ready else b""
            assert data, "the browser doesn't answer"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        found = json.loads(line)
        assert isinstance(found, dict)
        return found

    def evaluate(self, expression: str) -> Any:
        """A JavaScript expression's value in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def open(self, address: str, width: int, scheme: str = "light", medium: str = "") -> None:
        """Opens a page and waits until all of it is there."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=medium, features=features)
        self.call("Page.navigate", url="about:blank")
        self._events.clear()
        self.call("Page.navigate", url=address)
        end = time.monotonic() + _LIMIT_S
        while not any(event.get("method") == "Page.loadEventFired" for event in self._events):
            assert time.monotonic() < end, f"{address} isn't loaded after {_LIMIT_S:g} s"
            self._events.append(self._next())
        self.evaluate("document.fonts.ready.then(() => 0)")

    def complaints(self) -> list[str]:
        """What the console and the network log hold since the page was opened: errors, and addresses asked for."""
        found = []
        for event in self._events:
            method, values = event.get("method"), event.get("params", {})
            if method == "Runtime.exceptionThrown":
                found.append(json.dumps(values["exceptionDetails"]))
            elif method == "Runtime.consoleAPICalled" and values["type"] in ("error", "warning", "assert"):
                found.append(json.dumps(values["args"]))
            elif method == "Log.entryAdded" and values["entry"]["level"] in ("error", "warning"):
                found.append(values["entry"]["text"])
            elif method == "Network.requestWillBeSent":
                address = values["request"]["url"]
                if not address.startswith(("file:", "data:", "about:")):
                    found.append(f"asks the network for {address}")
        return found

    def screenshot(self, path: Path) -> Path:
        """The whole page as it is now, as a PNG file."""
        height = min(16_000, int(self.evaluate("document.documentElement.scrollHeight")))
        width = int(self.evaluate("window.innerWidth"))
        clip = {"x": 0, "y": 0, "width": width, "height": height, "scale": 1}
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)["data"]
        path.write_bytes(base64.b64decode(data))
        return path

    def look(self, page: Path, screenshots: Path) -> list[Seen]:
        """Holds a page against the rules of all pages at each width and scheme; what was seen, for more assertions."""
        screenshots.mkdir(parents=True, exist_ok=True)
        assert page.stat().st_size < 8_000_000
        seen = []
        for width in WIDTHS:
            for scheme in SCHEMES:
                self.open(page.resolve().as_uri(), width, scheme)
                found, place = self.evaluate(_LOOK), f"{page.name} at {width} px, {scheme}"
                shot = self.screenshot(screenshots / f"{page.stem}-{width}-{scheme}.png")
                assert self.complaints() == [], place
                assert found["inner"] == width, place
                assert found["scroll"] <= width, f"{place}: scrolls sideways"
                assert found["sections"], place
                for fault in ("empty", "broken", "dangling", "cut"):
                    assert found[fault] == [], f"{place}: {fault}"
                assert len(set(found["ids"])) == len(found["ids"]), f"{place}: an id twice"
                assert found["answer"].strip(), place
                assert found["scripts"] == 0, place
                seen.append(Seen(width, scheme, found["title"], found["answer"], found["sections"], shot))
        return seen


@contextmanager
def browser_process(profile: Path) -> Iterator[Browser]:
    """A browser with an empty profile, ended with the block. Skips the test where Chromium isn't installed."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("needs Chromium (Debian's package chromium; tools/setup_native.sh pages installs it)")
    ours_read, theirs_write = os.pipe()
    theirs_read, ours_write = os.pipe()
    # Root has no sandbox, and containers seldom have one; only files of this repository's own making are opened.
    quiet = "disable-background-networking disable-component-update disable-extensions disable-gpu disable-sync"
    more = f"no-sandbox disable-dev-shm-usage hide-scrollbars no-first-run {quiet}".split()
    options = ["--headless=new", *(f"--{word}" for word in more), f"--user-data-dir={profile}"]
    options += ["--remote-debugging-pipe", "about:blank"]
    # A shell puts the pipe on descriptors 3 and 4, where the browser looks for it.
    command = f'exec "$@" 3<&{theirs_read} 4>&{theirs_write}'
    with (profile.parent / "chromium.log").open("wb") as log:
        process = subprocess.Popen(
            ["bash", "-c", command, "chromium", program, *options],
            stdout=log,
            stderr=log,
            pass_fds=(theirs_read, theirs_write),
            start_new_session=True,
        )
    os.close(theirs_read)
    os.close(theirs_write)
    try:
        yield Browser(process, ours_write, ours_read)
    finally:
        os.close(ours_write)  # the browser ends with its pipe
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, 9)
            process.wait()
        os.close(ours_read)
