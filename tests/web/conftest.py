"""A site and a real browser: Debian's Chromium, driven by Playwright, which downloads none.

Without npm or Chromium these tests are skipped with the reason; ``IFRNET_EXPECT_BACKENDS=web:wasm,web:webgpu`` says
that they have to run.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from runtimes.errors import BackendError
from runtimes.web.serve import make_server
from runtimes.web.site import build_site, npm_packages

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ARGUMENTS = (
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

SOFTWARE_GPU = ("--enable-unsafe-webgpu", "--use-webgpu-adapter=swiftshader", "--enable-features=Vulkan")
"""Chromium's own software adapter for WebGPU: right, and slow."""

TIMEOUT_MS = 240_000
"""For a frame of the software GPU on a busy machine; no limit on speed."""


@pytest.fixture(scope="session")
def packages() -> Path:
    """What npm fetched, with what the tests need."""
    try:
        return npm_packages(print, developers=True)
    except BackendError as error:
        if "npm is not installed" not in str(error):
            raise
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def site(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page as ``python -m runtimes site`` writes it."""
    out = tmp_path_factory.mktemp("web") / "site"
    build_site(out, packages=packages)
    return out


@pytest.fixture(scope="session")
def address(site: Path) -> Iterator[str]:
    """Where the site is served."""
    with make_server(site) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


@pytest.fixture(scope="session")
def launch() -> Iterator[Callable[[tuple[str, ...]], Browser]]:
    """Starts Chromium with further arguments, once for each."""
    executable = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("no Chromium: Debian: apt install chromium")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed: pip install -e '.[dev]'")
    with sync_api.sync_playwright() as playwright:
        started: dict[tuple[str, ...], Browser] = {}

        def browser(arguments: tuple[str, ...]) -> Browser:
            if arguments not in started:
                started[arguments] = playwright.chromium.launch(
                    executable_path=executable, args=[*ARGUMENTS, *arguments]
                )
            return started[arguments]

        yield browser
        for each in started.values():
            each.close()


@pytest.fixture
def open_page(launch: Callable[[tuple[str, ...]], Browser], address: str) -> Iterator[Callable[..., Page]]:
    """A fresh page of the site; what it throws fails the test."""
    contexts = []
    errors: list[str] = []

    def opened(*, gpu: bool = False, path: str = "", prepare: Callable[[Page], None] | None = None) -> Page:
        context = launch(SOFTWARE_GPU if gpu else ()).new_context(viewport={"width": 1000, "height": 900})
        contexts.append(context)
        context.set_default_timeout(TIMEOUT_MS)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        if prepare:
            prepare(page)
        page.goto(address + path)
        if not path:
            page.wait_for_selector("html[data-ready]", state="attached")
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not errors
