"""The teaching guide keeps its word: minutes add up, sections exist, and code beside a quoted error says just that."""

import contextlib
import io
import os
import re
import subprocess
import sys
import warnings
from pathlib import Path

import nbformat
import pytest
from notebook_outputs import ROOT, tags

from helpers import datasets

GUIDE = ROOT / "docs" / "teaching.md"
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]
WITH_EXERCISES = [name for name in NAMES if (ROOT / "notebooks" / "exercises" / f"{name}.ipynb").exists()]
PAGES = sorted((GUIDE.parent / "teaching").glob("*.md"))
PLANS = {
    "half day": ["Half a day"],
    "one day": ["One day"],
    "two days": ["Two days: the first", "Two days: the second"],
}
PARTS = ("Section by section", "Where they stumble", "To discuss", "Exercises for the room")
LEADS = ("Goal", "Open with", "Time, by the notebook's own words", "On the projector")
MENUS = (
    "Edit > Clear Cell Output",
    "Kernel > Shut Down All Kernels",
    "Settings > Theme",
    "View > Appearance > Presentation Mode",
    "Run All Cells",
)
NEEDS_NO_ROW = r"(Check.*|Exercises|How this compares|Takeaways)"
MINUTES = {  # what the notebooks' own words mean
    "a quarter of an hour": 15,
    "half an hour": 30,
    "three quarters of an hour": 45,
    "an hour": 60,
    "an hour and a quarter": 75,
    "an hour and a half": 90,
    "two hours": 120,
    "two and a half hours": 150,
    "two sittings of an hour and a quarter": 150,
}


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def page_of(name: str) -> str:
    return read(GUIDE.parent / "teaching" / f"{name}.md")


def part(text: str, title: str, level: int = 2) -> str:
    """What stands below a heading, up to the next of its level or above."""
    found = re.search(
        rf"^{'#' * level} {re.escape(title)}\n(.*?)(?=^#{{1,{level}}} |\Z)", outside_code(text), re.M | re.S
    )
    assert found, f"no heading {title!r}"
    return found[1]


def outside_code(text: str) -> str:
    """The text with the lines of code blocks blanked: a comment in code is no heading."""
    return re.sub(r"^```.*?^```", lambda block: re.sub(r"[^\n]", " ", block[0]), text, flags=re.M | re.S)


def table_of(text: str) -> list[dict[str, str]]:
    """The first table of a text, a dict a row."""
    lines = re.search(r"(^\|.*\n)+", text, re.M)[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in (lines[0], *lines[2:])]
    cells = [[cell.strip("| ") for cell in row] for row in cells]
    return [dict(zip(cells[0], row, strict=True)) for row in cells[1:]]


def markdown_of(name: str) -> str:
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4)
    return "\n\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


# ---------------------------------------------------------------- the plans


def plan_rows(plan: str) -> dict[str, list[dict[str, str]]]:
    """The tables of a plan by title: one, or one for each of two days."""
    return {title: table_of(part(read(GUIDE), title, level=3)) for title in PLANS[plan]}


def clock(minutes: int) -> str:
    return f"{minutes // 60}:{minutes % 60:02d}"


@pytest.mark.parametrize("plan", PLANS)
def test_the_minutes_of_a_plan_add_up(plan):
    for title, rows in plan_rows(plan).items():
        stated = int(re.search(r"\*\*(\d+) minutes\.\*\*", part(read(GUIDE), title, level=3))[1])
        now = 9 * 60
        for row in rows:
            assert row["from"] == clock(now), f"{title}: {row['what']} begins at {clock(now)}, not at {row['from']}"
            now += int(row["minutes"])
        assert now - 9 * 60 == stated, f"{title}: {now - 9 * 60} minutes, and {stated} are stated"


@pytest.mark.parametrize("plan", PLANS)
def test_a_plan_lets_people_rest_and_keeps_minutes_to_spare(plan):
    for title, rows in plan_rows(plan).items():
        kinds = [re.match(r"\*(break|lunch|buffer)\*", row["what"]) for row in rows]
        sizes = dict.fromkeys(("break", "lunch", "buffer"), 0)
        sitting = 0
        for kind, row in zip(kinds, rows, strict=True):
            minutes = int(row["minutes"])
            sitting = 0 if kind and kind[1] != "buffer" else sitting + minutes
            assert sitting <= 120, f"{title}: two hours without a break before {row['what']} ends"
            if kind:
                sizes[kind[1]] += minutes
            assert kind or row["who does what"], f"{title}: nobody does {row['what']}"
        assert sizes["buffer"] >= 10, f"{title}: no buffer"
        assert sizes["break"] >= 15, f"{title}: no break"


def minutes_in_plan(plan: str) -> dict[str, int]:
    """Minutes of each notebook; a row that offers a choice counts for every notebook that it links."""
    found = {}
    for rows in plan_rows(plan).values():
        for row in rows:
            for name in re.findall(r"\(teaching/(\w+)\.md\)", row["what"]):
                found[name] = found.get(name, 0) + int(row["minutes"])
    return found


@pytest.mark.parametrize("plan", PLANS)
def test_a_plan_gives_each_notebook_the_minutes_that_its_page_shares_out(plan):
    shared = {}
    for name in (path.stem for path in PAGES):
        rows = table_of(part(page_of(name), "Section by section"))
        if plan in rows[0]:
            shared[name] = sum(int(row[plan]) for row in rows)
    assert minutes_in_plan(plan) == shared


# ---------------------------------------------------------------- a page for each notebook


def test_every_notebook_has_its_page_and_every_page_its_notebook():
    assert [path.stem for path in PAGES] == NAMES
    assert all(f"teaching/{name}.md" in read(GUIDE) for name in NAMES), "the guide links every page"


@pytest.mark.parametrize("name", NAMES)
def test_a_page_has_all_its_parts(name):
    page = page_of(name)
    assert re.findall(r"^## (.*)", outside_code(page), re.M) == list(PARTS)
    assert [lead for lead in LEADS if f"**{lead}.**" in page] == list(LEADS)
    stumbles = re.findall(r"^### ", part(page, "Where they stumble"), re.M)
    assert len(stumbles) >= 3, "too few mistakes"
    questions = re.findall(r"^\*\*[^*]*\?[^*]*\*\* \w", part(page, "To discuss"), re.M)
    assert len(questions) >= 2, "too few questions with answers"


@pytest.mark.parametrize("name", NAMES)
def test_a_page_lists_the_sections_of_its_notebook_in_their_order(name):
    text = markdown_of(name)
    headings = re.findall(r"^##+ (.*)", text, re.M)
    wanted = [title for title in re.findall(r"^## (.*)", text, re.M) if not re.fullmatch(NEEDS_NO_ROW, title)]
    rows = [row["section"] for row in table_of(part(page_of(name), "Section by section"))]
    listed = [row for row in rows if not row.startswith("[exercises]")]
    assert listed == [title for title in headings if title in listed], f"not headings of {name}, or in another order"
    missing = [title for title in wanted if title not in listed]
    assert not missing, f"docs/teaching/{name}.md does not say how long {missing} take"


def test_sections_that_are_named_in_italics_exist():
    everything = "".join(read(path) for path in (ROOT / "notebooks").rglob("*.ipynb")).replace('\\"', '"')
    for path in [GUIDE, *PAGES]:
        for words in re.findall(r"(?<!\*)\*([A-Z][^*]* [^*]*)\*(?!\*)", outside_code(read(path))):
            shown = " ".join(words.split()).rstrip(".")
            assert shown in everything or shown in MENUS, f"{path.name}: no notebook says {shown!r}"


@pytest.mark.parametrize("name", NAMES)
def test_the_whole_takes_as_long_as_the_notebook_says(name):
    said = re.search(r"\*\*Time, by the notebook's own words\.\*\* \*(.*)\*", page_of(name))[1]
    stated = re.search(r"\*\*Time:\*\* ([^\n]*)", markdown_of(name))[1]
    assert said in stated, f"the notebook says: {stated}"
    longest = max((words for words in MINUTES if words in said.split(";" if ";" in said else ",")[1]), key=len)
    rows = table_of(part(page_of(name), "Section by section"))
    assert sum(int(row["whole"]) for row in rows) == MINUTES[longest]


@pytest.mark.parametrize("name", WITH_EXERCISES)
def test_exercises_are_named_by_number(name):
    titles = re.findall(r"^## (?:Exercise )?(\d)[.:] (.*)", markdown_of(f"solutions/{name}"), re.M)
    advised = re.findall(r"\*\*(\d), ([^*]*)\*\*", part(page_of(name), "Exercises for the room"))
    assert sorted(advised) == sorted(advised_of(titles, advised)), f"exercises of {name}: {titles}"
    assert len(advised) == len(titles), "say of each whether it is for the room"


def advised_of(titles: list[tuple[str, str]], advised: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """The advised exercises that there are: same number, and a title that begins as the exercise's does."""
    known = {number: title.replace("`", "") for number, title in titles}
    return [(n, title) for n, title in advised if known.get(n, "").startswith(title)]


# ---------------------------------------------------------------- errors


def blocks_of(page: str) -> list[tuple[str, str | None]]:
    """Python and what it says, in the order of the page; None where nothing is quoted."""
    found = re.findall(r"^```python\n(.*?)^```\n(?:```text\n(.*?)^```)?", page, re.M | re.S)
    return [(code, said or None) for code, said in found]


def said_by(code: str, names: dict) -> str:
    """What running the code prints, warns of (plain UserWarnings) and raises, as a notebook shows it at the end."""
    printed, lines = io.StringIO(), []
    with contextlib.redirect_stdout(printed), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            exec(compile(code, "a learner's cell", "exec"), names)
        except Exception as error:
            lines.append(f"{type(error).__name__}: {error}")
    lines[:0] = [f"UserWarning: {found.message}" for found in caught if found.category is UserWarning]
    return (printed.getvalue() + "\n".join(lines)).strip()


def fits(quoted: str, said: str) -> bool:
    """Whether what was said is what is quoted, `...` standing for anything."""
    pattern = ".*".join(re.escape(piece.strip()) for piece in quoted.strip().split("..."))
    return re.fullmatch(pattern.replace(r"\ .*", r"\s*.*"), said, re.S) is not None


@pytest.mark.parametrize("name", [path.stem for path in PAGES])
def test_every_quoted_error_is_what_the_code_beside_it_says(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for variable in ("COURSE_DATA", "COURSE_PROFILE", "COURSE_ENCODER"):
        monkeypatch.delenv(variable, raising=False)
    names, blocks = {"__name__": name}, blocks_of(page_of(name))
    for code, quoted in blocks:
        said = said_by(code, names)
        if quoted is None:
            assert not said, f"{code}\nshould be quiet, and says\n{said}"
        else:
            assert fits(quoted, said), f"{code}\nsays\n{said}\nand the page quotes\n{quoted}"
    assert sum(quoted is not None for _, quoted in blocks) >= 3


def test_a_quote_is_compared_word_for_word():
    assert fits("ValueError: ... too few", "ValueError: 2 of 3, too few")
    assert fits("ValueError: one\n", "ValueError: one")
    assert not fits("ValueError: one", "ValueError: one and more")
    assert not fits("ValueError: ...", "TypeError: one")
    assert said_by("print(1)\n1 / 0", {}) == "1\nZeroDivisionError: division by zero"


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_wrong_kernel_says_what_the_first_page_quotes(notebook, tmp_path):
    section = page_of(NAMES[0]).split("### The kernel is not the course's")[1]
    quoted = re.search(r"^```text\n(.*?)^```", section, re.M | re.S)[1]
    cells = nbformat.read(notebook, 4).cells
    guard = next(cell.source for cell in cells if cell.cell_type == "code" and "guard" in tags(cell))
    bare = [sys.executable, "-I", "-S", "-c", guard]  # -S: without site-packages, so without the course
    done = subprocess.run(bare, cwd=tmp_path, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    assert done.returncode == 1
    assert fits(quoted, done.stderr.strip().splitlines()[-1])


# ---------------------------------------------------------------- the guide


def test_links_lead_somewhere():
    for path in [GUIDE, *PAGES]:
        for link in re.findall(r"\]\(([^)\s]+)\)", outside_code(read(path))):
            if "://" in link:
                continue
            file, _, anchor = link.partition("#")
            target = (path.parent / file).resolve() if file else path
            assert target.exists(), f"{path.name}: {link}"
            if anchor:
                headings = re.findall(r"^#+ (.*)", outside_code(read(target)), re.M)
                assert anchor in {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in headings}, link


def test_commands_that_the_guide_names_exist():
    targets = set(re.findall(r"^([a-z-]+):", read(ROOT / "Makefile"), re.M))
    named = set(re.findall(r"`make ([a-z-]+)", "".join(read(path) for path in [GUIDE, *PAGES])))
    assert "lab" in named
    assert named <= targets, f"no such target: {named - targets}"


def test_the_quiz_has_an_answer_for_every_question():
    quiz = part(read(GUIDE), "A quiz with answers")
    questions = re.findall(r"^(\d+)\. ", quiz.split("### Answers")[0], re.M)
    answers = re.findall(r"^(\d+)\. ", quiz.split("### Answers")[1], re.M)
    assert questions == answers == [str(n + 1) for n in range(len(questions))]
    assert len(questions) >= 10


def test_the_checklist_fits_on_a_page():
    boxes = re.findall(r"^- \[ \] (.*)", part(read(GUIDE), "One page to tick off"), re.M)
    assert 15 <= len(boxes) <= 40
    assert sum(len(box) // 100 + 1 for box in boxes) <= 50, "longer than a page"


def test_more_than_nine_decisions_in_ten_are_no():
    comments = datasets.load_comments()
    assert (comments[datasets.label_names(comments)] == 0).to_numpy().mean() > 0.9, "the opening of 01, and the quiz"


@pytest.mark.parametrize(("name", "switch"), [("01_eda", "MASKED"), ("07_honest_evaluation", "SHOW")])
def test_the_switches_that_hide_comments_exist(name, switch):
    cells = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", 4).cells
    assert f"`{switch} = " in read(GUIDE)
    assert any(re.search(rf"^{switch} = ", cell.source, re.M) for cell in cells if cell.cell_type == "code")


def test_no_other_notebook_shows_comments():
    shows = {name for name in NAMES if "as_html" in read(ROOT / "notebooks" / f"{name}.ipynb")}
    messages = {"10_your_own_data"}  # to the help desk of an invented library: the guide calls them so, and safe
    assert shows - messages == {"01_eda", "07_honest_evaluation"}, "the guide says: comments in these two alone"
    row = next(row for row in table_of(read(GUIDE)) if "10_your_own_data" in row["page"])
    assert messages <= shows and row["comments on the screen?"].startswith("messages to a library")
