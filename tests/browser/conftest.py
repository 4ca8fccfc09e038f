"""A real browser before the real pages: Debian's Chromium, driven by Playwright.

Whatever a test does, no page may write an error to the console, break its Content-Security-Policy
or ask another host for anything.
"""

import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import (
    Browser,
    ConsoleMessage,
    Page,
    Request,
    expect,
    sync_playwright,
)

from admin_core.report import Outcome, Prescription, Report
from admin_core.spec import DiagnosisSpec
from tests.admin_core.reports import diagnosis
from tests.app.in_process import Api
from worker import jobs

CHROMIUM = os.environ.get("TRIMTAB_CHROMIUM") or shutil.which("chromium")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE = 200_000
"""Milliseconds until what should come counts as not coming, on a machine that is busy."""
LEFT_OUT = (
    "LEFT OUT: all tests of the pages in a browser, as there is no Chromium. Install it (Debian: "
    "apt-get install chromium), or name one in TRIMTAB_CHROMIUM."
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if CHROMIUM is None:
        for item in items:
            if Path(__file__).parent in item.path.parents:
                item.add_marker(pytest.mark.skip(reason=LEFT_OUT))


def pytest_terminal_summary(terminalreporter: Any) -> None:
    if CHROMIUM is None:
        terminalreporter.section("browser", sep="!", red=True, bold=True)
        terminalreporter.line(LEFT_OUT, red=True, bold=True)


@pytest.fixture(scope="module")  # Playwright's event loop would be in the way of other tests
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        # In a folder of its own that is new.
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=list(FLAGS), headless=True
        )
        yield browser
        browser.close()


class Watched:
    """Pages of one browser context, and what they did that they should not."""

    def __init__(self, browser: Browser, url: str, **context: Any) -> None:
        self.url = url
        self.context = browser.new_context(base_url=url, **context)
        self.context.set_default_timeout(PATIENCE)
        self.wrong: list[str] = []
        self.refusals = 0
        """Answers of status 400 and above that are right; the browser tells of each."""
        self.page = self._watched(self.context.new_page())

    def open(self, path: str) -> Page:
        self.page.goto(path)
        return self.page

    def _watched(self, page: Page) -> Page:
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.wrong.append(f"error: {error}"))
        page.on("request", self._asked)
        return page

    def _heard(self, message: ConsoleMessage) -> None:
        if message.text.startswith("Failed to load resource") and self.refusals:
            self.refusals -= 1
        elif message.type in ("error", "warning"):
            self.wrong.append(f"{message.type}: {message.text}")

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((self.url, "data:", "blob:")):
            self.wrong.append(f"asked {request.url}")


@pytest.fixture
def watched(browser: Browser) -> Iterator[Callable[..., Watched]]:
    """Opens contexts; afterwards, none may have done what it should not."""
    opened: list[Watched] = []

    def look(url: str, **context: Any) -> Watched:
        opened.append(Watched(browser, url, **context))
        return opened[-1]

    yield look
    for each in opened:
        each.context.close()
    assert [wrong for each in opened for wrong in each.wrong] == []


class Shown:
    """Pages of a store that was written for them, in a server without a worker."""

    def __init__(self, home: Path) -> None:
        self.api = Api(home, device="cpu", rate_limit="none", submit_rate_limit="none")
        config = uvicorn.Config(self.api.app, host="127.0.0.1", port=0, log_config=None)
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        while not self._server.started:
            time.sleep(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"

    def diagnosed(self, spec: dict[str, Any], report: Report) -> str:
        """Id of a diagnosis with this report."""
        store = self.api.store
        job_id, _ = jobs.submit(store, DiagnosisSpec.model_validate(spec))
        claim = jobs.claim(store, job_id, worker="a-worker", lease_seconds=60)
        assert claim is not None
        assert jobs.succeed(store, claim, report.model_dump(mode="json"))
        return job_id

    def close(self) -> None:
        self.api.app.state.waiting.close()
        self._server.should_exit = True
        self._thread.join()
        self.api.close()


def _shown() -> Iterator[Shown]:
    with tempfile.TemporaryDirectory(prefix="tt-") as home:
        shown = Shown(Path(home))
        yield shown
        shown.close()


@pytest.fixture(scope="session")
def shown() -> Iterator[Shown]:
    """One that needs no key."""
    yield from _shown()


@pytest.fixture(scope="session")
def walled() -> Iterator[Shown]:
    """One that needs a key."""
    yield from _shown()


@pytest.fixture(scope="session")
def unstable() -> Report:
    """A real report whose verdict prescribes something."""
    report = diagnosis()
    assert report.verdict is not None
    prescription = Prescription(
        change="Admin in both stacks", patch={"model": {"scheme": "admin"}}, failure_probability=0.1
    )
    changed = {"outcome": Outcome.UNSTABLE, "failure_probability": 0.93}
    verdict = report.verdict.model_copy(update={**changed, "prescriptions": [prescription]})
    return report.model_copy(update={"verdict": verdict})
