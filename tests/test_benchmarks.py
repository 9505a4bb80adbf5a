"""The book of figures is whole: results.json and RESULTS.md say the same, every figure can be repeated."""

import json
import re
from pathlib import Path

import _record
import pytest

ROOT = Path(__file__).resolve().parent.parent
ENTRIES = _record.load()


def test_the_page_is_rendered_from_the_records():
    assert _record.PAGE.read_text(encoding="utf-8") == _record.render(ENTRIES)


def test_every_record_has_every_field_and_a_number():
    assert ENTRIES
    for entry in ENTRIES:
        assert set(_record.FIELDS) <= set(entry)
        assert isinstance(entry["value"], int | float)
        assert re.fullmatch(r"\d{4}-\d{2}-\d{2}", entry["date"])


@pytest.mark.parametrize("entry", _record.latest(ENTRIES), ids=lambda e: e["id"])
def test_every_command_names_a_file_that_is_there(entry):
    script = re.search(r"\S+\.py", entry["command"]).group()
    assert (ROOT / script).is_file()
    assert entry["id"] in (ROOT / script).read_text(encoding="utf-8")


def test_a_record_is_appended_and_the_newest_is_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_record, "RESULTS", tmp_path / "results.json")
    monkeypatch.setattr(_record, "PAGE", tmp_path / "RESULTS.md")
    for value in (1.0, 12345.678):
        _record.record("a.b", value, unit="rows/s", asked=">= 1", data="none", command="python x.py", parts=[1, 2])
    saved = json.loads((tmp_path / "results.json").read_text())
    assert [entry["value"] for entry in saved] == [1.0, 12345.7]
    assert saved[0]["details"] == {"parts": [1, 2]}
    page = (tmp_path / "RESULTS.md").read_text()
    assert "| `a.b` | 12,346 rows/s | >= 1 |" in page
    assert page.count("`a.b`") == 1
    assert "a.b: 12345.7 rows/s (asked: >= 1)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("value", "asked", "met"),
    [
        (2.0, ">= 2 x", "yes"),
        (1.985, ">= 2 x", "**no**"),
        (60_000, ">= 50,000", "yes"),
        (0.009, "<= 1/20", "yes"),
        (30, "< 30", "**no**"),
        (-4.19e-05, ">= -0.003", "yes"),
        (0.98, "0.93 to 0.975", "**no**"),
        (0.9916, "above both; aim 0.993", "**aim missed**"),
        (0.992, ">= 0.988, aim 0.991, and above the other", "yes, aim met"),
        (1.0, "a gain, with an interval", ""),
    ],
)
def test_the_page_says_what_was_missed(value, asked, met):
    entry = dict.fromkeys(_record.FIELDS, "") | {"id": "a.b", "value": value, "asked": asked}
    assert f" | {asked} | {met} | " in _record.render([entry])


def test_a_difference_rounded_to_zero_has_no_sign():
    entry = dict.fromkeys(_record.FIELDS, "") | {"id": "a.b", "value": 1.0, "details": {"low": -0.0}}
    assert "1 (low 0)" in _record.render([entry])


def test_what_is_no_number_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(_record, "RESULTS", tmp_path / "results.json")
    with pytest.raises(ValueError, match="is no measurement"):
        _record.record("a.b", float("nan"), unit="", asked="", data="", command="")


def test_a_benchmark_without_data_says_what_it_needs(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_record, "FOLDER", tmp_path / "benchmarks")
    with pytest.raises(SystemExit) as left:
        _record.use_data(str(tmp_path))
    assert left.value.code == _record.NO_DATA
    assert "give a folder that holds jigsaw/ with --data or COURSE_DATA" in capsys.readouterr().out
