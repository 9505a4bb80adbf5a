"""A real browser without a window: Debian's Chromium, driven by playwright, which brings no browser of its own."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Browser

NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = "no Chromium on this machine: apt-get install chromium (Debian), or brew install --cask chromium"
# Without the flags from the fourth on, Chromium asks its maker for updates, and is refused where there is no network.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


class NoBrowserError(RuntimeError):
    """There is no browser, or nothing that drives it; the message says what to install."""


def find() -> str:
    """Return the path of the browser.

    Raises:
        NoBrowserError: none of `NAMES` is on the PATH.
    """
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        raise NoBrowserError(MISSING)
    return program


@contextmanager
def launch() -> Iterator["Browser"]:
    """Start the browser without a window, with a profile of its own that is thrown away; end it on the way out.

    Raises:
        NoBrowserError: there is no browser, or no playwright.
    """
    path = find()
    try:
        from playwright.sync_api import sync_playwright
    except ImportError as error:
        raise NoBrowserError('playwright drives the browser: pip install "counts-to-bert[test]"') from error
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=list(FLAGS))
        try:
            yield browser
        finally:
            browser.close()
