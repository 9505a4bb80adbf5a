"""The built site in the real browser: every page at two widths, light and dark; search, next, folds; nothing from afar.

Run `make test-book`. Screenshots go to build/book-screens: look at them.
"""

import functools
import http.server
import threading

import check_book
import pytest

WIDTHS = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}
PATIENCE = 120_000  # milliseconds: a busy machine is no fault of the site
SCREENS = check_book.ROOT / "build" / "book-screens"
SHOWN = {  # page -> what to have in view
    "index.html": None,
    "notebooks/01_eda.html": ".cell_output img",
    "notebooks/03_multi_head.html": "math[display=block]",
    "notebooks/07_honest_evaluation.html": "table.dataframe",
    "notebooks/exercises/01_eda.html": "details",
    "notebooks/solutions/01_eda.html": "details.hide",
    "docs/glossary.html": None,
    "docs/api/index.html": None,
    "docs/api/metrics.html": "table.autosummary",
    "docs/api/models.html": "dl.py.class",
    "benchmarks/RESULTS.html": "table",
    "data/README.html": "table",
}
# How far the page itself can be moved sideways, and pictures that did not load.
MEASURE = """() => [
  document.documentElement.scrollWidth - innerWidth,
  [...document.images].filter(image => image.complete && !image.naturalWidth).map(image => image.src)
]"""


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files and says nothing."""

    def log_message(self, *_):
        pass


@pytest.fixture(scope="session")
def address():
    if not (check_book.BOOK / "index.html").is_file():
        pytest.skip("there is no site to look at: make book")
    handler = functools.partial(QuietHandler, directory=check_book.BOOK)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def visit(browser, address):
    """Open pages; at the end nothing may have gone wrong or been asked of another machine."""
    contexts, wrong = [], []

    def refuse_elsewhere(route):
        if route.request.url.startswith((f"{address}/", "data:", "blob:")):
            return route.continue_()
        wrong.append(f"asked for {route.request.url}")
        return route.abort()

    def open_page(path, *, width="desktop", scheme="light", page=None):
        if page is None:
            contexts.append(browser.new_context(viewport=WIDTHS[width], color_scheme=scheme))
            contexts[-1].set_default_timeout(PATIENCE)
            page = contexts[-1].new_page()
            page.route("**/*", refuse_elsewhere)
            page.on("console", lambda said: said.type == "error" and wrong.append(f"{page.url}: {said.text}"))
            page.on("pageerror", lambda error: wrong.append(f"{page.url}: {error}"))
            page.on("response", lambda got: got.status >= 400 and wrong.append(f"{got.status} for {got.url}"))
        page.goto(f"{address}/{path}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_opens_and_stays_within_the_screen(visit, address, width):
    paths = [path.relative_to(check_book.BOOK).as_posix() for path in check_book.page_files(check_book.BOOK)]
    page, wide = None, []
    for path in paths:
        page = visit(path, width=width, page=page)
        over, blank = page.evaluate(MEASURE)
        wide += [f"{path}: {over} pixels too wide"] if over > 0 else []
        wide += [f"{path}: no picture at {source}" for source in blank]
    assert len(paths) > 40
    assert not wide, "\n".join(wide)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_screens_are_taken_to_be_looked_at(visit, width, scheme):
    SCREENS.mkdir(parents=True, exist_ok=True)
    page = None
    for path, in_view in SHOWN.items():
        page = visit(path, width=width, scheme=scheme, page=page)
        assert page.evaluate("document.documentElement.dataset.theme") == scheme
        if in_view:
            page.locator(in_view).first.scroll_into_view_if_needed()
            page.mouse.wheel(0, 200)
            page.wait_for_timeout(200)
        name = path.removesuffix(".html").replace("/", "_")
        page.screenshot(path=SCREENS / f"{name}-{width}-{scheme}.png")


def test_the_search_finds_a_word_and_leads_to_it(visit):
    page = visit("index.html")
    page.keyboard.press("Control+K")
    page.keyboard.type("threshold")
    page.keyboard.press("Enter")
    for wanted in ("notebooks/07_honest_evaluation.html", "docs/glossary.html", "docs/api/evaluation.html"):
        page.locator(f"#search-results ul.search li a[href*='{wanted}']").first.wait_for()
    page.screenshot(path=SCREENS / "search-desktop-light.png")
    page.locator("#search-results ul.search li a").first.click()
    page.locator("article").first.wait_for()
    assert "threshold" in page.locator("article").first.inner_text().lower()


@pytest.mark.parametrize("width", WIDTHS)
def test_next_and_previous_lead_through_the_course(visit, width):
    page = visit("index.html", width=width)
    titles = []
    for _ in range(3):
        page.locator("a.right-next").click()
        titles.append(page.locator("h1").first.inner_text().strip("#\n "))
    assert [title[:2] for title in titles] == ["00", "01", "02"]
    page.locator("a.left-prev").click()
    assert page.locator("h1").first.inner_text().startswith("01")


def test_on_a_phone_the_contents_open_and_lead_on(visit):
    page = visit("index.html", width="phone")
    page.locator("label.primary-toggle, button.primary-toggle").first.click()
    link = page.get_by_role("link", name="Glossary").first
    link.wait_for(state="visible")
    page.wait_for_timeout(400)
    page.screenshot(path=SCREENS / "contents-phone-light.png")
    link.click()
    assert page.locator("h1").first.inner_text().startswith("Glossary")


@pytest.mark.parametrize("width", WIDTHS)
def test_a_reader_switches_to_the_dark_and_it_stays(visit, width):
    page = visit("notebooks/01_eda.html", width=width)
    page.locator("button.theme-switch-button:visible").click()
    page.locator("button.theme-change-button[data-mode=dark]:visible").click()
    page = visit("notebooks/02_countvectorizer_mlp.html", page=page)
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    background = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert max(int(part) for part in background.removeprefix("rgb(").rstrip(")").split(",")) < 60


def test_solutions_stay_folded_until_a_click(visit):
    page = visit("notebooks/solutions/01_eda.html")
    code = page.locator("details.hide div.highlight").first
    assert not code.is_visible()
    page.locator("details.hide summary").first.click()
    assert code.is_visible()
    remark = page.locator("details", has_text="About the solution").last
    assert not remark.locator("p").last.is_visible()


def test_a_wide_table_scrolls_by_itself_on_a_phone(visit):
    page = visit("benchmarks/RESULTS.html", width="phone")
    reach = "table => { const box = table.parentElement; box.scrollLeft = 200; return box.scrollLeft }"
    assert page.locator("table").first.evaluate(reach) == 200


def test_formulas_are_drawn_without_a_script(visit):
    page = visit("notebooks/03_multi_head.html")
    box = page.locator("math[display=block]").first.bounding_box()
    assert box["height"] > 30 and box["width"] > 100


def test_a_docstring_leads_to_its_source(visit):
    page = visit("docs/api/metrics.html")
    page.locator("dl.py.function", has_text="mean_auc").locator("a.viewcode-link, a:has(.viewcode-link)").first.click()
    assert "_modules/helpers/metrics" in page.url
    assert "def mean_auc" in page.locator("article").first.inner_text()
