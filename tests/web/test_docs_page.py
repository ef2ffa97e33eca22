"""The page /docs in a real browser: everything is on it, nothing comes from outside."""

from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import pytest
from aiohttp import web
from playwright.async_api import Browser, Page, async_playwright

from handlers.live.contract import CLIENT, SERVER
from handlers.rest.documents import add_documents
from handlers.rest.tables import ROUTES
from models.errors import ErrorCode
from tests.web.runtime import ARTIFACTS, ROOT, chromium

SIZES = {"wide": (1360, 900), "narrow": (390, 800)}


@pytest.fixture
async def site() -> AsyncIterator[str]:
    """Serve the documents and their page alone."""
    app = web.Application()
    add_documents(app, ROUTES, ROOT)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    yield f"http://{host}:{port}"
    await runner.cleanup()


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    """Run a browser."""
    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(
            executable_path=chromium(), args=["--no-sandbox"]
        )
        yield started
        await started.close()


def watched(page: Page) -> tuple[list[str], list[str]]:
    """Return lists that fill with what the page complains of and asks for."""
    complaints: list[str] = []
    requests: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    return complaints, requests


async def test_all_routes_events_and_codes_are_shown(site: str, browser: Browser) -> None:
    page = await browser.new_page()
    complaints, requests = watched(page)
    await page.goto(f"{site}/docs")
    await page.wait_for_selector("article")
    shown = await page.locator("article h3").all_inner_texts()
    assert len(shown) == len(ROUTES)
    for row in ROUTES:
        assert any(row.public_path in one and row.method in one for one in shown), row.name
    lines = await page.locator("article .try pre").all_inner_texts()
    assert len(lines) == len(ROUTES)
    assert all(line.startswith("curl -sS") and site in line for line in lines)
    await page.click("header nav a[href='#live']")
    await page.wait_for_selector("article[id^='live/']")
    assert "[object" not in await page.inner_text("main")
    events = await page.locator("article h3 code").all_inner_texts()
    assert sorted(events) == sorted(e for t in (CLIENT, SERVER) for n in t.values() for e in n)
    await page.click("header nav a[href='#errors']")
    await page.wait_for_selector("article[id='errors/all']")
    codes = await page.locator("article td:first-child code").all_inner_texts()
    assert codes == [code.value for code in ErrorCode]
    assert complaints == []
    assert {urlsplit(url).netloc for url in requests} == {urlsplit(site).netloc}


async def test_typing_leaves_what_is_looked_for(site: str, browser: Browser) -> None:
    page = await browser.new_page()
    await page.goto(f"{site}/docs#live/game.set.start")
    await page.wait_for_selector("article[id='live/game.set.start']")
    everything = await page.locator("article").count()
    await page.fill("#find", "watch:join")
    assert await page.locator("article h3 code").all_inner_texts() == ["watch:join"]
    await page.fill("#find", "no such thing at all")
    assert await page.locator("article").count() == 0
    await page.fill("#find", "")
    assert await page.locator("article").count() == everything


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
async def test_it_fits_the_screen(site: str, browser: Browser, scheme: str, size: str) -> None:
    width, height = SIZES[size]
    page = await browser.new_page(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    await page.goto(f"{site}/docs")
    await page.wait_for_selector("article")
    for view in ("rest", "live", "errors"):
        await page.goto(f"{site}/docs#{view}")
        await page.wait_for_selector(f"article[id^='{view}/']")
        wide = await page.evaluate("document.documentElement.scrollWidth")
        assert wide <= width
        ARTIFACTS.mkdir(exist_ok=True)
        await page.screenshot(path=ARTIFACTS / f"docs-{view}-{scheme}-{size}.png")
