"""The page in headless Chromium, as somebody uses it: with mouse, keyboard and finger, light, dark and on a phone."""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from latentcodec.bench.peers import BUILT_IN
from latentcodec.bench.pictures import choose, compare
from latentcodec.bench.report import page, prepare
from latentcodec.bench.results import read_tables
from tests.bench.measured import measure

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402
from selenium.webdriver.support.wait import WebDriverWait  # noqa: E402

CHROMIUM, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="chromium and chromium-driver are not installed"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # selenium leaves sockets to the garbage collector
]
FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
         "--disable-background-networking", "--disable-component-update", "--disable-sync",
         "--window-size=1200,900")  # fmt: skip
Browser = Any


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    report = prepare(read_tables([measure(folder)]), None, BUILT_IN)
    gaps: list[str] = []
    text = page(report, list(compare(report.rows, choose(report.rows, ["cup", "spoon"]), gaps)), gaps)
    (folder / "report.html").write_text(text, encoding="utf-8")
    return (folder / "report.html").as_uri()


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    options = webdriver.ChromeOptions()
    options.binary_location = CHROMIUM
    for flag in (*FLAGS, f"--user-data-dir={tmp_path_factory.mktemp('profile')}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(DRIVER))
    yield browser
    browser.quit()


@pytest.fixture
def browser(chromium: Browser, url: str) -> Iterator[Browser]:
    """The page, freshly loaded on a desktop in the light; afterwards, nothing may have been said on the console."""
    screen(chromium, 1200, 900, phone=False)
    chromium.get(url)
    yield chromium
    assert chromium.get_log("browser") == []


def screen(browser: Browser, width: int, height: int, phone: bool) -> None:
    size = {"width": width, "height": height, "deviceScaleFactor": 2 if phone else 1, "mobile": phone}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.execute_cdp_cmd("Emulation.setTouchEmulationEnabled", {"enabled": phone})
    theme(browser, "light")


def theme(browser: Browser, name: str) -> None:
    features = {"prefers-color-scheme": name, "prefers-reduced-motion": "reduce"}  # clicks do not wait for scrolling
    pairs = [{"name": feature, "value": value} for feature, value in features.items()]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": pairs})


def all_of(browser: Browser, selector: str) -> list[Any]:
    return list(browser.find_elements(By.CSS_SELECTOR, selector))


def one(browser: Browser, selector: str) -> Any:
    return browser.find_element(By.CSS_SELECTOR, selector)


def press(browser: Browser, selector: str, *keys: str) -> None:
    browser.execute_script("arguments[0].focus()", one(browser, selector))
    browser.switch_to.active_element.send_keys(*keys)


def wipe(browser: Browser) -> float:
    return float(
        browser.execute_script("return parseFloat(document.querySelector('.stage').style.getPropertyValue('--wipe'))")
    )


def clip(browser: Browser) -> str:
    return str(browser.execute_script("return getComputedStyle(document.querySelector('.layer.left')).clipPath"))


def background(browser: Browser) -> tuple[int, ...]:
    text = browser.execute_script("return getComputedStyle(document.documentElement).backgroundColor")
    return tuple(int(part) for part in text.removeprefix("rgb(").removesuffix(")").split(","))


def test_curves_are_drawn(browser: Browser) -> None:
    assert one(browser, "h1").text == "2 codecs on 3 images"
    assert len(all_of(browser, ".plot .curve .line")) == 2
    assert len(all_of(browser, ".plot .curve .marker")) == 10
    assert [tab.text for tab in all_of(browser, "[role=tab]")] == ["PSNR", "FLIP"]
    one(browser, "#tab-flip").click()
    assert "FLIP" in one(browser, ".plot .title").text
    assert len(all_of(browser, ".plot .curve .marker")) == 10


def test_legend_switches_codecs_off_and_on(browser: Browser) -> None:
    button = one(browser, ".legend button")
    button.click()
    assert button.get_attribute("aria-pressed") == "false"
    assert len(all_of(browser, ".plot .curve")) == 1
    button.click()
    assert len(all_of(browser, ".plot .curve")) == 2


def test_points_are_read_with_the_keyboard(browser: Browser) -> None:
    press(browser, ".plot", Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_DOWN)
    tip = one(browser, ".tip").text.splitlines()
    assert tip[0] == "webp, q10"
    assert tip[1].startswith("PSNR ")
    assert "±" in tip[1]
    assert tip[3] == "mean of 3 images"
    press(browser, ".plot", Keys.ESCAPE)
    assert not one(browser, ".tip").is_displayed()


def test_points_are_read_with_the_mouse_and_intervals_shown(browser: Browser) -> None:
    webdriver.ActionChains(browser).move_to_element(all_of(browser, ".plot .marker")[2]).perform()
    assert one(browser, ".tip").is_displayed()
    assert all_of(browser, ".whisker") == []
    one(browser, ".key input[type=checkbox]").click()
    assert len(all_of(browser, ".whisker")) == 10


def test_bd_rates_follow_the_anchor(browser: Browser) -> None:
    first = one(browser, ".bd").text
    assert "the anchor" in first
    one(browser, "#anchor option[value=webp]").click()
    rows = all_of(browser, ".bd tbody tr")
    assert [row.text.split()[0] for row in rows] == ["jpeg", "webp"]
    assert "the anchor" in rows[1].text
    assert "%" in rows[0].text or "overlap" in rows[0].text


def test_slider_wipes_with_mouse_and_keyboard(browser: Browser) -> None:
    before = clip(browser)
    assert wipe(browser) == 50
    press(browser, ".handle", Keys.ARROW_RIGHT, Keys.ARROW_RIGHT)
    assert wipe(browser) == 52
    press(browser, ".handle", Keys.PAGE_DOWN)
    assert wipe(browser) == 42
    assert clip(browser) != before
    width = one(browser, ".stage").size["width"]
    webdriver.ActionChains(browser).drag_and_drop_by_offset(one(browser, ".handle"), width // 4, 0).perform()
    assert wipe(browser) == pytest.approx(67, abs=1)
    press(browser, ".handle", Keys.END)
    assert one(browser, ".handle").get_attribute("aria-valuenow") == "100"


def test_any_two_files_and_the_original_at_the_same_size(browser: Browser) -> None:
    left, right = (one(browser, f"#{side}-file") for side in ("left", "right"))
    captions = all_of(browser, ".captions .caption")
    sizes = [int(re.search(r"([\d,]+) bytes", caption.text)[1].replace(",", "")) for caption in captions]  # type: ignore[index]
    assert [side.get_attribute("value").split()[0] for side in (left, right)] == ["jpeg", "webp"]
    assert max(sizes) < 1.3 * min(sizes)
    one(browser, "#left-file optgroup option:last-child").click()
    assert captions[0].text.startswith("jpeg q80")
    assert "bytes" in captions[0].text
    assert "bpp" in captions[0].text
    assert right.get_attribute("value") in ("webp\nq85", "webp\nq60")
    one(browser, "#right-file option[value=original]").click()
    assert captions[1].text.splitlines() == ["Original", "192 \u00d7 128 pixels"]
    all_of(browser, ".thumb")[1].click()
    assert left.get_attribute("value") == "jpeg\nq80"
    assert "spoon.png" in one(browser, ".layer.right img").get_attribute("alt")


def test_zoom_pan_and_nearest_neighbour(browser: Browser) -> None:
    picture = one(browser, ".layer.left img")
    fitted = picture.size["width"]
    assert fitted == pytest.approx(one(browser, ".stage").size["width"], abs=1)
    for zoom in (1, 2, 4):
        one(browser, f"[data-zoom='{zoom}']").click()
        assert picture.size["width"] == 192 * zoom
    browser.execute_script("document.querySelector('.stage').style.maxWidth = '300px'")
    one(browser, "[data-zoom='4']").click()
    press(browser, ".stage", Keys.ARROW_RIGHT)
    place = picture.value_of_css_property("transform")
    webdriver.ActionChains(browser).drag_and_drop_by_offset(one(browser, ".chip.left"), -60, -10).perform()
    assert picture.value_of_css_property("transform") != place
    assert picture.value_of_css_property("transform") == one(browser, ".layer.right img").value_of_css_property(
        "transform"
    )
    one(browser, "#nearest").click()
    assert picture.value_of_css_property("image-rendering") == "pixelated"


def test_original_is_shown_while_its_button_is_held(browser: Browser) -> None:
    reference = one(browser, ".reference")
    assert not reference.is_displayed()
    actions = webdriver.ActionChains(browser)
    actions.click_and_hold(one(browser, "#peek")).perform()
    assert reference.is_displayed()
    actions.release().perform()
    assert not reference.is_displayed()


def test_light_and_dark(browser: Browser) -> None:
    assert min(background(browser)) > 200
    theme(browser, "dark")
    assert max(background(browser)) < 60
    WebDriverWait(browser, 20).until(lambda _: one(browser, "#theme").text == "Light")
    one(browser, "#theme").click()
    assert min(background(browser)) > 200


def test_phone(browser: Browser, url: str) -> None:
    screen(browser, 390, 844, phone=True)
    browser.get(url)
    assert browser.execute_script("return document.documentElement.scrollWidth") == 390
    assert one(browser, ".plot").size["width"] <= 358
    assert len(all_of(browser, ".plot .curve .marker")) == 10
    assert one(browser, ".stage").size["width"] <= 358
    browser.execute_script("document.querySelector('.stage').scrollIntoView({block: 'center'})")
    box = browser.execute_script("return document.querySelector('.stage').getBoundingClientRect().toJSON()")
    y = box["top"] + box["height"] / 3
    for kind, x in (("touchStart", 0.5), ("touchMove", 0.6), ("touchMove", 0.75), ("touchEnd", None)):
        points = [] if x is None else [{"x": box["left"] + x * box["width"], "y": y}]
        browser.execute_cdp_cmd("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    assert wipe(browser) == pytest.approx(75, abs=2)


def test_nothing_is_fetched(browser: Browser) -> None:
    assert (
        browser.execute_script(
            "return performance.getEntriesByType('resource').filter(e => !e.name.startsWith('data:')).length"
        )
        == 0
    )


def test_page_without_pictures_says_so(browser: Browser, tmp_path: Path) -> None:
    rows = read_tables([measure(tmp_path)])
    (tmp_path / "r.html").write_text(page(prepare(rows[:1], None, BUILT_IN), [], []), encoding="utf-8")
    browser.get((tmp_path / "r.html").as_uri())
    assert one(browser, "#compare .empty").text == "The table names no decoded pictures that could be shown."
    assert one(browser, "#bd .empty").text.startswith("There is one codec only")
    assert len(all_of(browser, ".plot .marker")) == 1
