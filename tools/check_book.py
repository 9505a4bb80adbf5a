"""Check a built site: every link leads somewhere, every picture has a text, and nothing is fetched from elsewhere.

    python tools/check_book.py [FOLDER]

Pure functions from HTML files to faults. Links to other sites are left to the reader; what a page *loads* (scripts,
styles, fonts, pictures, frames) must lie in the folder.
"""

import argparse
import re
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "build" / "book"

_LOADED = {"img": "src", "script": "src", "iframe": "src", "audio": "src", "video": "src", "source": "src"}
_LOADED_RELATIONS = {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "preconnect", "dns-prefetch"}
_CSS_URL = re.compile(r"""(?:url\(\s*|@import\s+)["']?([^"')\s;]+)""")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)


class Target(NamedTuple):
    """An address that a page names: the line, the address, and whether the page loads it by itself."""

    line: int
    address: str
    loaded: bool


class Page(HTMLParser):
    """What a page names and holds.

    Attributes:
        targets: the addresses.
        anchors: the ids and names that a link may lead to.
        faults: what is wrong with the page by itself.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.targets: list[Target] = []
        self.anchors: set[str] = set()
        self.faults: list[str] = []
        self._style, self._titled = False, False
        self.feed(html)
        self.close()
        if not self._titled:
            self.faults.append("the page has no title")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note the anchors, the addresses and the text of one element."""
        attributes = {name: value or "" for name, value in attrs}
        self.anchors |= {attributes[name] for name in ("id", "name") if attributes.get(name)}
        self._style = tag == "style"
        self._titled = self._titled or tag == "title"
        if tag == "html" and not attributes.get("lang"):
            self.faults.append("the page does not say its language")
        if tag == "img" and not attributes.get("alt", "").strip() and attributes.get("role") != "presentation":
            self.faults.append(f"line {self.getpos()[0]}: a picture without a text: {attributes.get('src', '')[:60]}")
        if tag in _LOADED and attributes.get(_LOADED[tag]):
            self._add(attributes[_LOADED[tag]], loaded=True)
        elif attributes.get("href"):
            self._add(
                attributes["href"],
                loaded=tag == "link" and bool(_LOADED_RELATIONS & set(attributes.get("rel", "").split())),
            )
        self._add_css(attributes.get("style", ""))

    def handle_data(self, data: str) -> None:
        """Note what a style sheet inside the page loads."""
        if self._style:
            self._add_css(data)

    def handle_endtag(self, tag: str) -> None:
        """Leave a style sheet."""
        self._style = self._style and tag != "style"

    def _add(self, address: str, *, loaded: bool) -> None:
        self.targets.append(Target(self.getpos()[0], address.strip(), loaded))

    def _add_css(self, css: str) -> None:
        for address in css_addresses(css):
            self._add(address, loaded=True)


def css_addresses(css: str) -> Iterator[str]:
    """The addresses that a style sheet loads."""
    yield from _CSS_URL.findall(_COMMENT.sub("", css))


def is_elsewhere(address: str) -> bool:
    """Whether an address leads out of the site; data inside the page does not."""
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme not in {"", "data", "javascript"}


def target_fault(folder: Path, page: Path, target: Target, pages: dict[Path, Page]) -> str | None:
    """What is wrong with an address on a page, or None."""
    if is_elsewhere(target.address):
        return f"loads {target.address} from elsewhere" if target.loaded else None
    parts = urlsplit(target.address)
    if parts.scheme or target.address == "#":
        return None
    path = page if not parts.path else (page.parent / unquote(parts.path)).resolve()
    if path.is_dir():
        path /= "index.html"
    if not path.is_relative_to(folder) or not path.is_file():
        return f"{target.address} leads nowhere"
    anchor = unquote(parts.fragment)
    if anchor and path in pages and anchor not in pages[path].anchors:
        return f"{target.address} leads to a page without that anchor"
    return None


def page_files(folder: Path) -> list[Path]:
    """The pages of a site. Files to download and the theme's own templates are none."""
    files = sorted(folder.rglob("*.html"))
    return [path for path in files if path.relative_to(folder).parts[0] not in {"_downloads", "_sources", "_static"}]


def book_faults(folder: str | Path) -> list[str]:
    """Faults of a site, each with its page and line.

    Raises:
        FileNotFoundError: the folder holds no index.html.
    """
    folder = Path(folder).resolve()
    if not (folder / "index.html").is_file():
        raise FileNotFoundError(f"{folder} holds no index.html: build the site first, with `make book`.")
    pages = {path: Page(path.read_text(encoding="utf-8")) for path in page_files(folder)}
    faults = []
    for path, page in pages.items():
        name = path.relative_to(folder).as_posix()
        faults += [f"{name}: {fault}" for fault in page.faults]
        for target in page.targets:
            if fault := target_fault(folder, path, target, pages):
                faults.append(f"{name}: line {target.line}: {fault}")
    for path in sorted(folder.rglob("*.css")):
        for address in css_addresses(path.read_text(encoding="utf-8")):
            if fault := target_fault(folder, path, Target(1, address, True), pages):
                faults.append(f"{path.relative_to(folder).as_posix()}: {fault}")
    return faults


def main(arguments: list[str] | None = None) -> int:
    """Print the faults; return 1 when there is one."""
    parser = argparse.ArgumentParser(description="Check a built site for broken links, mute pictures, foreign loads.")
    parser.add_argument("folder", nargs="?", type=Path, default=BOOK, help="the site (default: build/book)")
    folder = parser.parse_args(arguments).folder
    try:
        faults = book_faults(folder)
    except FileNotFoundError as error:
        parser.error(str(error))
    print("\n".join(faults) or f"{len(page_files(folder))} pages, no faults")
    return int(bool(faults))


if __name__ == "__main__":
    sys.exit(main())
