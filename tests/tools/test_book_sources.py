"""What the site is made of: the glossary, a page for every module, and notebooks prepared for reading."""

import re
from pathlib import Path

import make_book
import pytest
from notebook_outputs import read_notebook

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
ENTRY = re.compile(r"^\*\*(.+)\*\*\n((?:  \S.*\n)+)", re.MULTILINE)
ENTRIES = dict(ENTRY.findall((DOCS / "glossary.md").read_text(encoding="utf-8")))


@pytest.fixture
def pages(monkeypatch):
    monkeypatch.syspath_prepend(DOCS / "_ext")
    import course_pages

    return course_pages


def cell(source, *, kind="code", **metadata):
    return {"cell_type": kind, "source": [source], "metadata": metadata}


def test_the_glossary_is_sorted_and_of_a_size_to_browse():
    assert list(ENTRIES) == sorted(ENTRIES, key=str.lower)
    assert 40 <= len(ENTRIES) <= 70
    assert (DOCS / "glossary.md").read_text(encoding="utf-8").count("\n**") == len(ENTRIES)


@pytest.mark.parametrize("term", ENTRIES)
def test_a_term_links_to_notebooks_that_speak_of_it(term):
    links = re.findall(r"\[(\d\d)\]\(\.\./notebooks/(\S+?)\)", ENTRIES[term])
    assert links
    for number, name in links:
        assert name.startswith(number)
        cells = read_notebook(ROOT / "notebooks" / name).cells
        said = " ".join(cell.source for cell in cells if cell.cell_type == "markdown").lower()
        missing = [word for word in re.findall(r"\w+", term.lower()) if word[:5] not in said]
        assert not missing, f"{name} never says {missing}"


def test_every_module_of_helpers_has_a_page_and_a_place_in_the_index():
    modules = {path.stem for path in (ROOT / "helpers").iterdir() if path.stem[0] not in "_."}
    modules -= {"py"}  # py.typed
    modules -= {"arguments", "folders", "tagger_settings"}  # for our own modules, not for readers
    written = {path.stem for path in (DOCS / "api").glob("*.md")} - {"index"}
    assert written == modules
    index = (DOCS / "api" / "index.md").read_text(encoding="utf-8")
    for name in modules:
        assert f".. public-names:: helpers.{name}\n" in (DOCS / "api" / f"{name}.md").read_text(encoding="utf-8")
        assert f"| [`{name}`]({name}.md) |" in index
        assert f"\n{name}\n" in index


def test_a_figure_hands_on_its_text(pages):
    notebook = {"cells": [cell("plt.show()", alt="Bars:\n  two of them."), cell("x")]}
    first, second = pages.prepare(notebook, "notebooks/01_eda")["cells"]
    assert first["metadata"]["mystnb"] == {"image": {"alt": "Bars: two of them.", "width": "100%"}}
    assert "mystnb" not in second["metadata"]


def test_a_badge_becomes_a_link_and_code_stays_as_it_is(pages):
    badge = "[![Open in Colab](https://example.org/badge.svg)](https://example.org/notebook)"
    cells = [cell(f"# 01 Title\n\n{badge} and ![a bar](bar.png)", kind="markdown"), cell(f'"{badge}"')]
    title, code = pages.prepare({"cells": cells}, "notebooks/01_eda")["cells"]
    assert title["source"].endswith("\n[Open in Colab](https://example.org/notebook) and ![a bar](bar.png)")
    assert code["source"] == f'"{badge}"'


def test_an_attached_picture_is_put_in_its_place(pages):
    attached = cell("![A page.](attachment:page.png)", kind="markdown")
    attached["attachments"] = {"page.png": {"image/png": "AAAA\n"}}
    (shown,) = pages.prepare({"cells": [attached]}, "notebooks/08_compress_and_serve")["cells"]
    assert shown["source"] == "![A page.](data:image/png;base64,AAAA)"
    assert "attachments" not in shown


def test_solutions_are_folded_and_say_what_they_are(pages):
    cells = [
        cell("# 01 Exercises: know the data\n\nText", kind="markdown"),
        cell("answer = 1", tags=["solution"]),
        cell("assert answer == 1", tags=["check"]),
        cell("It is one.", kind="markdown", tags=["solution"]),
        cell("Count.", kind="markdown", tags=["hint"]),
    ]
    title, code, check, remark, hint = pages.prepare({"cells": cells}, "notebooks/solutions/01_eda")["cells"]
    assert title["source"].startswith("# 01 Solutions: know the data\n")
    assert "(../exercises/01_eda.ipynb)" in title["source"] and title["source"].endswith("Text")
    assert "hide-cell" in code["metadata"]["tags"]
    assert check["metadata"]["tags"] == ["check"]
    assert remark["source"].startswith("<details><summary>About the solution</summary>\n\nIt is one.")
    assert hint["source"].startswith("<details><summary>Hint</summary>")


def test_a_title_that_ends_in_exercises_changes_too(pages):
    title = cell("# 06 Sentiment: exercises\n", kind="markdown")
    (title,) = pages.prepare({"cells": [title]}, "notebooks/solutions/06_binary_sentiment")["cells"]
    assert title["source"].startswith("# 06 Sentiment: solutions\n")


def test_a_lesson_is_not_folded(pages):
    (code,) = pages.prepare({"cells": [cell("answer = 1", tags=["solution"])]}, "notebooks/01_eda")["cells"]
    assert code["metadata"]["tags"] == ["solution"]


def test_only_what_is_missing_or_too_old_is_installed():
    assert make_book.missing(["pytest>=8", "pytest>=9000", "no-such-package-anywhere>=1"]) == [
        "pytest>=9000",
        "no-such-package-anywhere>=1",
    ]


@pytest.fixture
def built(tmp_path, monkeypatch):
    """Run make_book with a builder that writes the given page, beside a site that was built before."""
    (tmp_path / "book").mkdir()
    (tmp_path / "book" / "index.html").write_text("the site from before")
    monkeypatch.setattr(make_book, "install_missing", lambda: None)

    def run(page, code=0):
        def build(folder):
            folder.mkdir(parents=True)
            (folder / "index.html").write_text(page)
            return code

        monkeypatch.setattr(make_book, "build", build)
        return make_book.main(["--out", str(tmp_path / "book")]), (tmp_path / "book" / "index.html").read_text()

    return run


SOUND = '<html lang="en"><head><title>A page</title></head></html>'


def test_a_site_with_a_warning_or_a_fault_replaces_nothing(built, capsys):
    assert built(SOUND, code=1) == (1, "the site from before")
    assert built(SOUND + '<a href="gone.html">x</a>') == (1, "the site from before")
    assert "gone.html leads nowhere" in capsys.readouterr().out


def test_a_sound_site_takes_the_place_of_the_old_one(built, tmp_path):
    assert built(SOUND) == (0, SOUND)
    assert [path.name for path in tmp_path.iterdir()] == ["book"]
