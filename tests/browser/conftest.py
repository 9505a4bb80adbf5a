"""One JupyterLab, one browser; a page of its own for every test, and a picture of how it ended."""

from pathlib import Path

import chromium
import live_lab
import nbformat
import pytest

PICTURES = live_lab.ROOT / "build" / "browser"
VIEW = {"width": 1280, "height": 900}  # a small laptop, and a projector


@pytest.fixture(scope="session")
def browser():
    try:
        with chromium.launch() as browser:
            yield browser
    except chromium.NoBrowserError as error:
        pytest.exit(str(error), returncode=1)


@pytest.fixture(scope="session")
def course(tmp_path_factory):
    """A copy of the course, so that what the browser saves reaches no committed file."""
    return live_lab.copy_course(tmp_path_factory.mktemp("course"))


@pytest.fixture(scope="session")
def lab(course, tmp_path_factory, browser):
    with live_lab.serve(course, tmp_path_factory.mktemp("private")) as lab:
        yield lab


@pytest.fixture
def pictures(request):
    """Where this test's screenshots go."""
    name = "".join(letter if letter.isalnum() else "_" for letter in request.node.name)
    return PICTURES / name.removeprefix("test_").strip("_")


@pytest.fixture
def opened(lab, course, browser, pictures):
    """Open a notebook by its path in the course; keep a picture of how the test left it, passed or failed."""
    notebooks = []

    def open_one(path):
        page = browser.new_page(viewport=VIEW)
        notebooks.append(live_lab.LiveNotebook(lab, page, path, course / path))
        notebooks[-1].open()
        return notebooks[-1]

    yield open_one
    pictures.mkdir(parents=True, exist_ok=True)
    for number, notebook in enumerate(notebooks, start=1):
        notebook.page.screenshot(path=pictures / f"end-{number}.png")
        notebook.page.close()
    lab.close_kernels()


@pytest.fixture
def written(course, opened):
    """Open a notebook made of code cells, each a source or a source with its metadata."""

    def write(*cells):
        made = [(cell, {}) if isinstance(cell, str) else cell for cell in cells]
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source, metadata=metadata) for source, metadata in made],
            metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}},
        )
        path = Path("notebooks", "written.ipynb")
        nbformat.write(notebook, course / path)
        return opened(path.as_posix())

    return write
