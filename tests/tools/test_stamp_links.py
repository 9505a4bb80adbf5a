"""One address in pyproject.toml, the same in every badge and guard cell; none, and there is no badge."""

import json
import shutil
import subprocess
import sys

import make_exercises
import notebook_format
import pytest
import stamp_links
from notebook_outputs import ROOT, read_notebook, tags
from stamp_links import Address

ADDRESS = Address("ada-lovelace/counts.to_bert", "next/year")
STAMP = ["--repo", ADDRESS.repository, "--branch", ADDRESS.branch]


def copy_of(folder):
    """Copy what is stamped, and what checks it."""
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "notebooks", folder / "notebooks", ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    return folder


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def notebooks(folder):
    return sorted((folder / "notebooks").glob("**/[0-9][0-9]_*.ipynb"))


def ruff(folder):
    """Return what ruff has to say about the notebooks of a course."""
    said = []
    for command in (["check"], ["format", "--check"]):
        command = [sys.executable, "-m", "ruff", *command, "--quiet", "--no-cache", "notebooks"]
        said.append(subprocess.run(command, cwd=folder, capture_output=True, text=True).stdout)
    return said


@pytest.fixture(scope="module")
def stamped(tmp_path_factory):
    """A copy of the course, stamped once for all tests that only read it."""
    folder = copy_of(tmp_path_factory.mktemp("stamped"))
    assert stamp_links.main([*STAMP, "--root", str(folder)]) == 0
    return folder


def test_the_course_is_in_step_with_its_pyproject():
    assert stamp_links.main(["--check"]) == 0


def test_without_an_address_there_is_no_badge(tmp_path):
    folder = copy_of(tmp_path)
    assert stamp_links.main(["--repo", "none", "--root", str(folder)]) == 0
    for path in [*notebooks(folder), folder / "README.md"]:
        assert "Open in Colab" not in path.read_text(encoding="utf-8"), path
    assert 'repository = ""\nbranch = "main"' in (folder / "pyproject.toml").read_text(encoding="utf-8")


def test_every_notebook_has_the_badge_of_its_own_place_and_the_one_guard(stamped):
    assert stamp_links.read_address(stamped / "pyproject.toml") == ADDRESS
    for path in notebooks(stamped):
        title = next(cell for cell in read_notebook(path).cells if cell.source.startswith("# "))
        place = path.relative_to(stamped).as_posix()
        target = f"https://colab.research.google.com/github/{ADDRESS.repository}/blob/{ADDRESS.branch}/{place}"
        assert f"]({target}) · [all notebooks]({ADDRESS.url})\n" in title.source
        guards = [cell.source for cell in read_notebook(path).cells if "guard" in tags(cell)]
        assert guards == [stamp_links.guard(ADDRESS)]


def test_the_readme_lists_the_badges_of_all_lessons(stamped):
    text = (stamped / "README.md").read_text(encoding="utf-8")
    lessons = sorted((stamped / "notebooks").glob("[0-9]*.ipynb"))
    listed = [path.name for path in lessons if f"](notebooks/{path.name}) [![Open in Colab](" in text]
    assert listed == [path.name for path in lessons]


def test_nothing_else_changes(stamped):
    for path in notebooks(stamped):
        before, after = (json.loads((root / path.relative_to(stamped)).read_text()) for root in (ROOT, stamped))
        for cells in (before["cells"], after["cells"]):
            titles = [cell for cell in cells if "".join(cell["source"]).startswith("# ")]
            for cell in [titles[0], *[cell for cell in cells if cell["id"] == "guard"]]:
                cell["source"] = "stamped"
        assert after == before, path


def test_a_stamped_course_keeps_every_rule(stamped):
    for path in [path for path in notebooks(stamped) if path.parent.name != "exercises"]:
        given = {"size": path.stat().st_size, "address": ADDRESS}
        found, known = (
            notebook_format.lesson_faults(read_notebook(root / path.relative_to(stamped)), path.name, **kept)
            for root, kept in ((stamped, given), (ROOT, given | {"address": stamp_links.read_address()}))
        )
        assert found == known, path
    exercises = stamped / "notebooks" / "exercises"
    assert make_exercises.out_of_step(stamped / "notebooks" / "solutions", exercises) == {}
    assert not any(make_exercises.worked_in(path) for path in exercises.glob("*.ipynb"))
    assert ruff(stamped) == ruff(ROOT)


def test_twice_is_once_another_address_takes_its_place_and_none_brings_the_old_bytes_back(tmp_path, capsys):
    folder = copy_of(tmp_path)
    root = ["--root", str(folder)]
    stamp_links.main(["--repo", "none", *root])
    plain = contents(folder)
    assert stamp_links.main([*STAMP, "--check", *root]) == 1
    assert contents(folder) == plain
    assert f"01_eda.ipynb: is out of step; fix it by: {stamp_links.COMMAND}" in capsys.readouterr().out
    stamp_links.main([*STAMP, *root])
    once = contents(folder)
    assert stamp_links.main([*STAMP, *root]) == 0
    assert stamp_links.main(root) == 0
    assert contents(folder) == once
    assert stamp_links.main(["--check", *root]) == 0
    stamp_links.main(["--repo", "grace/course", *root])
    assert not any(b"ada-lovelace" in content for content in contents(folder).values())
    stamp_links.main(["--repo", "none", *root])
    assert contents(folder) == plain


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("/blob/next/year/", "/blob/main/"),
        lambda text: text.replace("--depth=1", "--depth=2"),
        lambda text: text.replace("[![Open in Colab]", "[![Open]"),
    ],
    ids=["branch", "guard", "badge"],
)
def test_the_check_finds_one_notebook_that_was_changed_by_hand(stamped, tmp_path, capsys, change):
    shutil.copytree(stamped, tmp_path / "course")
    path = tmp_path / "course" / "notebooks" / "exercises" / "03_multi_head.ipynb"
    path.write_text(change(path.read_text(encoding="utf-8")), encoding="utf-8")
    assert stamp_links.main(["--check", "--root", str(tmp_path / "course")]) == 1
    assert capsys.readouterr().out.splitlines()[:-1] == [
        f"notebooks/exercises/03_multi_head.ipynb: is out of step; fix it by: {stamp_links.COMMAND}"
    ]


def test_an_exercise_that_somebody_worked_in_keeps_the_work(tmp_path):
    folder = copy_of(tmp_path)
    path = folder / "notebooks" / "exercises" / "01_eda.ipynb"
    worked = path.read_text(encoding="utf-8").replace("...  # your code here", "answer = 42", 1)
    path.write_text(worked, encoding="utf-8")
    stamp_links.main([*STAMP, "--root", str(folder)])
    text = path.read_text(encoding="utf-8")
    assert "answer = 42" in text and ADDRESS.url in text
    assert make_exercises.worked_in(path)


@pytest.mark.parametrize("address", [None, Address("o" * 30 + "/" + "n" * 17, "a-branch-with-a-name")])
def test_the_guard_is_short_enough_for_a_projector(address):
    lines = stamp_links.guard(address).splitlines()
    assert len([line for line in lines if line.strip()]) <= 20
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--repo", "counts-to-bert"], "write owner/name"),
        (["--repo", 'ada/"+evil'], "write owner/name"),
        (["--repo", "https://github.com/ada/course"], "write owner/name"),
        (["--repo", "ada/course.git"], "write owner/name"),
        (["--repo", "ada/course", "--branch=-x"], "the branch is '-x'"),
    ],
)
def test_a_bad_address_is_refused_and_nothing_is_written(tmp_path, capsys, arguments, message):
    folder = copy_of(tmp_path)
    before = contents(folder)
    assert stamp_links.main([*arguments, "--root", str(folder)]) == 1
    assert message in capsys.readouterr().out
    assert contents(folder) == before


def test_a_file_that_cannot_be_stamped_is_named_and_nothing_is_written(tmp_path, capsys):
    folder = copy_of(tmp_path)
    path = folder / "notebooks" / "05_lightning_tagging.ipynb"
    raw = json.loads(path.read_text(encoding="utf-8"))
    raw["cells"] = [cell for cell in raw["cells"] if cell["id"] != "guard"]
    path.write_text(json.dumps(raw), encoding="utf-8")
    before = contents(folder)
    assert stamp_links.main([*STAMP, "--root", str(folder)]) == 1
    assert "notebooks/05_lightning_tagging.ipynb: 0 cells with the tag 'guard'" in capsys.readouterr().out
    assert contents(folder) == before
    (folder / "pyproject.toml").write_text("[project]\n", encoding="utf-8")
    assert stamp_links.main(["--root", str(folder)]) == 1
    assert "table [tool.counts-to-bert]: 'repository'" in capsys.readouterr().out
