"""The demo's pages in a real browser, on a computer's screen and on a phone's, and while a primary is killed."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

from haop.operations.cluster import Cluster
from haop.waiting import wait_until
from tests import support
from tests.conftest import REQUIRED
from tests.django.serving import REPOSITORY, Served, served, urls

DEMO = REPOSITORY / "compose" / "web"
SIZES = {"computer": (1280, 800), "phone": (360, 740)}
PAGES = {"items": "/", "low": "/?low=1", "nothing": "/?q=unobtainium", "item": "/items/1/", "edit": "/items/1/edit/",
         "new": "/items/new/", "report": "/report/", "live": "/live/", "health": "/health/"}  # fmt: skip


@pytest.fixture(scope="module")
def demo(guarded: Cluster) -> Iterator[Served]:
    """The application of compose/web, with its inventory."""
    told = {**os.environ, **urls(guarded), "PYTHONPATH": str(REPOSITORY)}
    for command in (("migrate", "--verbosity", "0"), ("seed",), ("seed",)):
        argv = (sys.executable, "manage.py", *command)
        done = subprocess.run(argv, cwd=DEMO, env=told, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert "nothing is changed" in done.stdout
    with served(guarded, application="laboratory", folder=DEMO, threads=8) as site:
        yield site


@pytest.fixture(scope="module")
def screenshots() -> Iterator[Path]:
    """Kept where HAOP_SCREENSHOTS names a folder."""
    if kept := os.environ.get("HAOP_SCREENSHOTS"):
        Path(kept).mkdir(parents=True, exist_ok=True)
        yield Path(kept)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@pytest.fixture(params=SIZES)
def browser(request: pytest.FixtureRequest) -> Iterator[webdriver.Chrome]:
    """Chromium, with a profile of its own."""
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (program and driver):
        (pytest.fail if "chromium" in REQUIRED else pytest.skip)("Chromium and its driver are not on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    width, height = SIZES[request.param]
    for word in ("headless=new", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "hide-scrollbars",
                 "disable-background-networking", "disable-component-update", "disable-sync"):  # fmt: skip
        options.add_argument(f"--{word}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chrome = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        # A window is not as narrow as a phone: the page is told that the screen is.
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": request.param == "phone"}
        chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        vars(chrome)["name_of_size"] = request.param
        yield chrome
    finally:
        chrome.quit()


def picture(browser: Any, where: Path, name: str) -> None:
    file = where / f"{name}-{browser.name_of_size}.png"
    assert browser.save_screenshot(str(file))
    assert file.stat().st_size > 3000, "there is something on it"


def fits(browser: Any) -> bool:
    """No page is wider than its screen, and no card hides what it has no room for."""
    return bool(
        browser.execute_script("""
        return [document.documentElement, ...document.querySelectorAll(".card")].every(
            (element) => element.scrollWidth <= element.clientWidth)""")
    )


def await_shown(browser: Any) -> None:
    """A page that asks for what it shows has been answered."""
    wait_until(lambda: "asking" not in browser.page_source and "waiting<" not in browser.page_source, deadline=20,
               waiting_for="the page to show something")  # fmt: skip


def await_text(browser: Any, text: str) -> None:
    """A click may return before the page that it leads to is there."""
    wait_until(lambda: text in browser.page_source, deadline=20, waiting_for=f"the page to say: {text}")


def test_every_page_fits_its_screen_and_makes_no_error(
    shop: Cluster, demo: Served, browser: Any, screenshots: Path
) -> None:
    for name, path in PAGES.items():
        browser.get(demo.url + path)
        if name in {"live", "health"}:
            await_shown(browser)
        picture(browser, screenshots, name)
        assert fits(browser), name
        assert browser.find_element(By.TAG_NAME, "h1").text
    assert [line for line in browser.get_log("browser") if line["level"] == "SEVERE"] == []


def test_a_form_saves_and_says_so(shop: Cluster, demo: Served, browser: Any, screenshots: Path) -> None:
    browser.get(f"{demo.url}/items/new/")
    for field, value in (("name", f"Zinc {browser.name_of_size}"), ("location", "Shelf Z1"), ("quantity", "3")):
        element = browser.find_element(By.NAME, field)
        element.clear()
        element.send_keys(value)
    browser.find_element(By.CSS_SELECTOR, "main button.primary").click()
    await_text(browser, "is saved")
    browser.find_element(By.XPATH, "//button[text()='Take one']").click()
    await_text(browser, "2 pieces are left")
    assert "taken" in browser.page_source
    for left in (1, 0):
        browser.find_element(By.XPATH, "//button[text()='Take one']").click()
        await_text(browser, f"{left} pieces are left")
    button = browser.find_element(By.XPATH, "//button[text()='Take one']")
    assert not button.is_enabled()
    browser.execute_script("arguments[0].disabled = false; arguments[0].click()", button)  # as from an older page
    await_text(browser, "There is nothing left")
    picture(browser, screenshots, "taken")
    assert fits(browser)


def test_the_live_page_shows_a_failover(shop: Cluster, demo: Served, browser: Any, screenshots: Path) -> None:
    old, new = support.primary_of(shop), support.standby_of(shop)
    browser.get(f"{demo.url}/live/")

    def writes() -> str:
        return str(browser.execute_script("return document.body.dataset.write || ''"))

    def cells(lane: str) -> int:
        shown = f"[data-lane={lane}] .strip i[data-node]"
        return int(browser.execute_script("return document.querySelectorAll(arguments[0]).length", shown))

    wait_until(lambda: writes() == old and cells("write") > 8, deadline=30, waiting_for=f"{old} to write")
    picture(browser, screenshots, "live-before")
    shop.runtime.pause(old)  # a primary that hangs is away long enough to be seen
    wait_until(lambda: browser.find_elements(By.CSS_SELECTOR, "[data-lane=write] .strip i.gone"), deadline=30,
               waiting_for="the page to show that nothing can be written")  # fmt: skip
    picture(browser, screenshots, "live-during")
    assert fits(browser)
    wait_until(lambda: writes() == new, deadline=60, waiting_for=f"{new} to write")
    wait_until(lambda: cells("write") > 12, deadline=30, waiting_for="the page to show it")
    picture(browser, screenshots, "live-after")
    assert not browser.find_elements(By.CSS_SELECTOR, "[data-lane=read] .strip i.gone"), "no read failed"
    browser.get(demo.url)
    assert browser.find_element(By.TAG_NAME, "h1").text == "Items"


def test_pages_say_that_nothing_can_be_saved(plain: Cluster, browser: Any, screenshots: Path) -> None:
    """Without a guard it stays so: long enough to look."""
    told = {**os.environ, **urls(plain), "PYTHONPATH": str(REPOSITORY)}
    for command in (("migrate", "--verbosity", "0"), ("seed",)):
        subprocess.run((sys.executable, "manage.py", *command), cwd=DEMO, env=told, capture_output=True, check=True)
    with served(plain, application="laboratory", folder=DEMO) as site:
        browser.get(site.url)
        plain.runtime.kill(support.primary_of(plain))
        for name, path in (("items", "/"), ("item", "/items/1/"), ("edit", "/items/1/edit/")):
            browser.get(site.url + path)
            picture(browser, screenshots, f"read-only-{name}")
            assert "cannot be saved" in browser.find_element(By.CSS_SELECTOR, ".note.warn").text
            buttons = browser.find_elements(By.CSS_SELECTOR, "form[method=post] button.primary")
            assert all(not button.is_enabled() for button in buttons)
            assert fits(browser), name
        answer = site.browser().post("/api/beat/", Accept="text/html")
        assert answer.status == 503
