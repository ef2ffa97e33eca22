"""The console page in a real browser: a hand that moves, repetitions that are counted."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from playwright.async_api import Browser, Page, WebSocketRoute, async_playwright

from config.clock import SystemClock
from config.settings import Settings
from server.lifespan import PARTS
from server.seeding.seeder import seeding
from server.seeding.village import ADMIN, JUNHO, LEE, MINA, settle
from server.simulation.crowd import Crowd, Script
from server.simulation.performance import Manner
from tests.flows.api import People, people_of
from tests.flows.client import OPEN, connected
from tests.serving import Served
from tests.web.runtime import ARTIFACTS, chromium, packages

MOTIONS = ("fist", "spread", "tap", "wave", "turn")
WAIT_MS = 20_000
POLL_MS = 100
_PIXELS = """() => {
  const canvas = document.querySelector('canvas.hand');
  const [w, h] = [canvas.width >> 1, canvas.height >> 1];  // the middle, inside the ring
  const copy = new OffscreenCanvas(w, h).getContext('2d', {willReadFrequently: true});
  copy.drawImage(canvas, w >> 1, h >> 1, w, h, 0, 0, w, h);
  const data = copy.getImageData(0, 0, w, h).data;
  let sum = 0, painted = 0;
  for (let i = 0; i < data.length; i += 4) {
    if (data[i + 3] > 0) painted += 1;
    sum = (sum * 31 + data[i] + data[i + 3]) % 4294967291;
  }
  return {sum, share: painted / (w * h)};
}"""
"""A number that changes with the picture, and how much of its middle is painted."""


@dataclass
class Watch:
    """What a page did that it should not have done."""

    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def over(self, page: Page) -> None:
        """Note the console, the errors and every request of a page."""
        page.on("console", lambda message: self._said(message.type, message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("websocket", lambda socket: self.requests.append(socket.url))

    def _said(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(f"{kind}: {text}")


@pytest.fixture(scope="module")
def browser_path() -> str:
    """Return the browser's path; skips, or fails where a browser is required."""
    packages()
    return chromium()


@pytest.fixture
async def browser(browser_path: str) -> AsyncIterator[Browser]:
    """Return a headless Chromium."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=browser_path, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        await browser.close()


@contextlib.asynccontextmanager
async def playing(served: Served, children: int) -> AsyncIterator[Crowd]:
    """Let simulated children play while the block runs."""
    script = Script(
        url=served.url,
        key=served.key,
        children=children,
        seconds=None,
        seed=4,
        manner=Manner(motions=MOTIONS),
        time_reps=False,
    )
    crowd = Crowd(script, SystemClock())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(crowd.run())
        try:
            yield crowd
        finally:
            crowd.stop()
            await task
    assert crowd.errors == 0, list(crowd.faults)


async def until(page: Page, expression: str, argument: object = None) -> None:
    """Wait for an expression to hold. The page's policy forbids the browser's own way of asking."""
    for _ in range(WAIT_MS // POLL_MS):
        if await page.evaluate(expression, argument):
            return
        await page.wait_for_timeout(POLL_MS)
    pytest.fail(f"not within {WAIT_MS / 1000:.0f} s: {expression}")


async def test_a_therapist_sees_children_play(browser: Browser, served: Served) -> None:
    watch = Watch()
    token = served.token("therapist", "*")
    async with playing(served, 4):
        page = await browser.new_page(
            viewport={"width": 1280, "height": 800}, locale="en-US", device_scale_factor=2
        )
        watch.over(page)
        await page.goto(f"{served.url}/console#token={token}")
        await page.wait_for_selector(".card >> nth=3", timeout=WAIT_MS)
        assert page.url == f"{served.url}/console"
        assert "token" not in await page.evaluate(
            "location.href + document.documentElement.outerHTML"
        )

        chosen = page.locator(".card", has_text="Fist").first
        alias = await chosen.locator("b").inner_text()
        await chosen.click()
        await until(
            page, "alias => document.querySelector('.title h2').textContent === alias", alias
        )
        await until(page, "Number(document.querySelector('[data-reps]').dataset.reps) >= 3")
        pictures = []
        for _ in range(6):
            pictures.append(await page.evaluate(_PIXELS))
            await page.wait_for_timeout(150)
        assert len({picture["sum"] for picture in pictures}) >= 3, "the hand does not move"
        assert all(picture["share"] > 0.04 for picture in pictures), "there is no hand"
        ARTIFACTS.mkdir(exist_ok=True)
        await page.screenshot(path=ARTIFACTS / "console.png")

        points = await page.get_attribute(".plot", "data-points")
        assert points is not None
        assert int(points) >= 20
        assert await page.locator(".bars li:not(.slot)").count() >= 3
        assert int(await page.inner_text("[data-fps]")) >= 5
        assert (await page.inner_text("[data-latency]")).endswith("ms")

        # The session goes on over a reload: the tab keeps its token.
        await page.reload()
        await page.wait_for_selector(".card[aria-current]", timeout=WAIT_MS)
        await page.close()
    host = urlsplit(served.url).netloc
    assert {urlsplit(url).netloc for url in watch.requests if not url.startswith("data:")} == {host}
    assert not any(token in url for url in watch.requests)
    assert watch.complaints == []


async def test_a_lost_line_is_taken_up_again(browser: Browser, served: Served) -> None:
    page = await browser.new_page(locale="en-US")
    lines: list[WebSocketRoute] = []

    def relay(line: WebSocketRoute) -> None:
        line.connect_to_server()
        lines.append(line)

    await page.route_web_socket("**/socket.io/**", relay)
    async with playing(served, 1):
        await page.goto(f"{served.url}/console#token={served.token('therapist', '*')}")
        await until(page, "Number(document.querySelector('[data-reps]')?.dataset.reps) >= 1")
        alias = await page.inner_text(".title h2")
        await lines[-1].close()
        await page.wait_for_selector(".line.lost", timeout=WAIT_MS)
        assert "Trying again" in await page.inner_text(".line")
        await page.wait_for_selector(".line.live", timeout=WAIT_MS)
        await until(page, "Number(document.querySelector('[data-reps]')?.dataset.reps) >= 2")
        assert await page.inner_text(".title h2") == alias
        assert len(lines) == 2
    await page.close()


async def test_the_page_says_what_to_do(browser: Browser, served: Served) -> None:
    page = await browser.new_page(locale="ko-KR", color_scheme="dark")
    await page.goto(f"{served.url}/console")
    await page.wait_for_selector("form")
    assert await page.get_attribute("html", "lang") == "ko"
    await page.click("summary")
    assert "gemgem token --email" in await page.inner_text(".notice")

    await page.fill("#token", "no token at all")
    await page.click("details form button")
    await page.wait_for_selector(".notice [role=alert]", timeout=WAIT_MS)

    await page.click("summary")
    await page.fill("#token", served.token("therapist", "*"))
    await page.click("details form button")
    await page.wait_for_selector(".empty .resting", timeout=WAIT_MS)
    assert "아이가 없어요" in await page.inner_text(".empty")

    async with playing(served, 1):
        await page.wait_for_selector(".card[aria-current]", timeout=WAIT_MS)
        await until(page, "Number(document.querySelector('[data-reps]')?.dataset.reps) >= 1")
    await page.wait_for_selector(".result .sets li", timeout=WAIT_MS)
    assert "놀이가 끝났어요" in await page.inner_text(".result")
    await page.close()


@contextlib.asynccontextmanager
async def one_child_playing(served: Served, people: People) -> AsyncIterator[str]:
    """Let a child of a family play with an open session; yield the child's alias."""
    mother, alias = people.guardian(MINA.id), "번개"
    async with connected(served.url, "/game", mother.token) as player:
        asked = {**OPEN, "child_id": "c_seed_jiu", "client_key": str(uuid4())}
        await player.ok("session:open", asked)
        yield alias
        await player.ok("session:close", 0, {"reason": "done"})


async def sign_in(page: Page, village: dict[str, Any], email: str) -> None:
    password = next(one["password"] for one in village["people"] if one["email"] == email)
    await page.fill("#email", email)
    await page.fill("#password", password)
    await page.click("form.stacked button")


async def test_who_signs_in_sees_who_is_theirs(
    browser: Browser, served: Served, settings: Settings
) -> None:
    async with seeding(settings, SystemClock()) as seeder:
        village = await settle(seeder)
    watch = Watch()
    async with people_of(served) as people, one_child_playing(served, people) as alias:
        page = await browser.new_page(viewport={"width": 1280, "height": 800}, locale="ko-KR")
        # By this page's clock each token is about to end: it is renewed every few seconds.
        await page.clock.install(time=SystemClock().now() + timedelta(minutes=11, seconds=50))
        watch.over(page)
        await page.goto(f"{served.url}/console")
        await page.wait_for_selector("form.stacked")
        ARTIFACTS.mkdir(exist_ok=True)
        await page.screenshot(path=ARTIFACTS / "console-sign-in.png")
        await page.fill("#email", LEE.email)
        await page.fill("#password", "not the password")
        await page.click("form.stacked button")
        await page.wait_for_selector("[role=alert]", timeout=WAIT_MS)
        watch.complaints.clear()  # the browser tells of the 401
        await page.wait_for_timeout(1100)  # what a failed sign-in costs

        await sign_in(page, village, LEE.email)
        await page.wait_for_selector(".card[aria-current]", timeout=WAIT_MS)
        assert alias in await page.inner_text(".card")
        assert "eyJ" not in await page.evaluate(
            "location.href + document.documentElement.outerHTML"
        )

        line = next(iter(served.app[PARTS].watch.connections.values()))
        before = line.who.expires_at
        async with asyncio.timeout(20):
            while line.who.expires_at == before:
                await asyncio.sleep(0.1)
        assert line.open
        await page.reload()
        await page.wait_for_selector(".card[aria-current]", timeout=WAIT_MS)

        await page.click("text=로그아웃")
        await page.wait_for_selector("#email")
        assert await page.evaluate("sessionStorage.length") == 0
        async with asyncio.timeout(20):
            while served.app[PARTS].watch.connections:
                await asyncio.sleep(0.1)

        # Nobody else's child is in the list.
        await sign_in(page, village, JUNHO.email)
        await page.wait_for_selector(".empty .resting", timeout=WAIT_MS)
        await page.close()
    assert watch.complaints == []


async def test_an_admin_says_why(browser: Browser, served: Served, settings: Settings) -> None:
    async with seeding(settings, SystemClock()) as seeder:
        village = await settle(seeder)
    async with people_of(served) as people, one_child_playing(served, people):
        page = await browser.new_page(locale="en-US")
        await page.goto(f"{served.url}/console")
        await page.wait_for_selector("form.stacked")
        await sign_in(page, village, ADMIN.email)
        await page.fill("#reason", "a call from the family")
        await page.click("form.stacked button")
        await page.wait_for_selector(".card[aria-current]", timeout=WAIT_MS)
        await until(page, "document.querySelector('.title h2')?.textContent === '번개'")
        guardian, looks = people.guardian(MINA.id), []
        async with asyncio.timeout(20):  # the title stands there before the session is joined
            while not looks:
                looks = (await guardian.ok("GET", "/children/c_seed_jiu/looks"))["items"]
        assert [(look["role"], look["reason"]) for look in looks] == [
            ("admin", "a call from the family")
        ]
        await page.close()
