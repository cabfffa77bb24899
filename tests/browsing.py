"""A web server, and Chromium for tests that fail for each message in its console."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import pytest
from seen import AGENTS, configuration
from services import free_port, threaded
from support import program

from flask_autoconfig import create_app

if TYPE_CHECKING:  # the fast tier has no Playwright
    from playwright.sync_api import Browser, BrowserContext, Page, Request

Open = Callable[..., "Page"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-background-networking"]
        browser = playwright.chromium.launch(
            executable_path=program("chromium"), args=options
        )
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Open]:
    """Open a URL in a new context, as a device of `seen.AGENTS`."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def failed(request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # by a download or the next page
            complaints.append(f"{request.url}: {request.failure}")

    def visit(
        target: str, device: str = "windows", *, width: int = 1280, **options: object
    ) -> Page:
        viewport = {"width": width, "height": 900}
        agent = AGENTS.get(device, "somebody")
        context = browser.new_context(viewport=viewport, user_agent=agent, **options)  # type: ignore[arg-type]
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("requestfailed", failed)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto(target)
        return page

    yield visit
    for context in contexts:
        context.close()
    # The request for a favicon when the server has ended, and pages with status 4xx.
    resource = "Failed to load resource: "
    status = f"{resource}the server responded with a status of 4"
    expected = (f"{resource}net::ERR_CONNECTION_RESET", status)
    assert [text for text in complaints if not text.startswith(expected)] == []


class _Quiet(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve an application on a free port of loopback; yield its base URL."""
    port = free_port()
    with threaded(make_server("127.0.0.1", port, app, handler_class=_Quiet)):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of the page of `seen.configuration`."""
    with served(create_app(configuration(tmp_path_factory.mktemp("page")))) as base:
        yield f"{base}/mail/setup"
