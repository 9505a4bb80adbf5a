"""The checker of the built site finds what it is there to find, on small sites made here."""

import pytest
from check_book import book_faults, main

PAGE = '<html lang="en"><head><title>A page</title></head><body>{}</body></html>'


@pytest.fixture
def site(tmp_path):
    """Write pages (path -> body) and files (path -> text) into a folder, and give it back."""

    def write(pages, **files):
        for name, text in {**{name: PAGE.format(body) for name, body in pages.items()}, **files}.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return tmp_path

    return write


def test_a_sound_site_has_no_faults(site, capsys):
    folder = site(
        {
            "index.html": '<a href="deep/two.html#place">on</a> <a href="#top">up</a> <a href="https://example.org">out</a>'
            '<a href="#">menu</a> <p id="top"></p> <img src="data:image/png;base64,AA==" alt="a bar">',
            "deep/two.html": '<a href="../index.html">back</a> <a href="../">home</a> <h2 id="place">x</h2>'
            '<a href="my%20table.csv">data</a> <img role="presentation" alt="" src="../dot.svg">',
        },
        **{"deep/my table.csv": "a,b", "dot.svg": "<svg/>"},
    )
    assert book_faults(folder) == []
    assert main([str(folder)]) == 0
    assert capsys.readouterr().out == "2 pages, no faults\n"


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="gone.html">x</a>', "gone.html leads nowhere"),
        ('<a href="../../outside.html">x</a>', "../../outside.html leads nowhere"),
        ('<a href="#gone">x</a>', "#gone leads to a page without that anchor"),
        ('<a href="index.html#gone">x</a>', "index.html#gone leads to a page without that anchor"),
        ('<img src="gone.png" alt="a bar">', "gone.png leads nowhere"),
        ('<img src="data:image/png;base64,AA==">', "a picture without a text"),
        ('<img src="data:image/png;base64,AA==" alt=" ">', "a picture without a text"),
        ('<script src="https://cdn.example.org/a.js"></script>', "loads https://cdn.example.org/a.js from elsewhere"),
        ('<script src="//cdn.example.org/a.js"></script>', "loads //cdn.example.org/a.js from elsewhere"),
        ('<link rel="stylesheet" href="https://fonts.example.org/a.css">', "loads https://fonts.example.org/a.css"),
        ('<img src="https://example.org/badge.svg" alt="badge">', "loads https://example.org/badge.svg"),
        ("<p style=\"background: url('https://example.org/a.png')\">", "loads https://example.org/a.png"),
        ("<style>@import 'https://example.org/a.css';</style>", "loads https://example.org/a.css"),
    ],
)
def test_each_fault_is_named_with_its_page_and_line(site, capsys, body, fault):
    folder = site({"index.html": "<p>\n" + body})
    (found,) = book_faults(folder)
    assert found.startswith("index.html: line 2: ")
    assert fault in found
    assert main([str(folder)]) == 1
    assert fault in capsys.readouterr().out


def test_style_sheets_are_read_too(site):
    css = (
        "/* url(gone.png) */ a { background: url('dot.png?v=1') } @font-face { src: url(//fonts.example.org/f.woff2) }"
    )
    folder = site({"index.html": ""}, **{"_static/course.css": css, "_static/dot.png": ""})
    assert book_faults(folder) == ["_static/course.css: loads //fonts.example.org/f.woff2 from elsewhere"]


def test_a_page_says_its_title_and_language(site):
    folder = site({}, **{"index.html": "<html><body></body></html>"})
    assert book_faults(folder) == [
        "index.html: the page does not say its language",
        "index.html: the page has no title",
    ]


def test_files_to_download_are_no_pages(site):
    folder = site({"index.html": "", "_downloads/0/a.html": '<a href="gone.html">x</a>'})
    assert book_faults(folder) == []


def test_without_a_site_it_says_how_to_build_one(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main([str(tmp_path)])
    assert "holds no index.html: build the site first, with `make book`" in capsys.readouterr().err
