"""benchmarks/tickets.py on a notebook of a few lines: whose code is run, on which draw, and what is recorded."""

import nbformat
import pytest
import tickets

CELLS = {
    "setup": "import tempfile, pandas as pd",
    "profile": "folder = tempfile.TemporaryDirectory()",
    "mine": "FILE = 'tickets.csv'",
    "rows": "LABELS = ['login']",
    "lengths": "LIMIT = 48",
    "road-in": "split_of = dict(valid=0.15, seed=0)",
    "road-judge": "def judge(value):\n"
    "    row = {'value': value, 'low': value - 0.01, 'high': value + 0.01, 'positives': 3}\n"
    "    return pd.DataFrame({'login': row, 'mean': row}).T.astype(object)",
    "road-counts": "def counts_road(): return judge(0.96 + split_of['seed'] / 1000)",
    "road-bert-a": "def batches(): return LIMIT",
    "road-bert-b": "def bert_road(): return judge(0.93 + batches() / 1000)",
    "counts-run": "counts_report = counts_road()\ncounts_report",
    "bert-run": "bert_report = bert_road()\ndisplay(bert_report)",
    "compare": "gain = judge(bert_report.loc['mean', 'value'] - counts_report.loc['mean', 'value'])",
}


@pytest.fixture
def notebook(tmp_path, monkeypatch):
    """Write a notebook of the given cells, with a cell between them that must not run."""

    def write(cells):
        parts = [nbformat.v4.new_code_cell(source, id=name) for name, source in cells.items()]
        parts.insert(3, nbformat.v4.new_code_cell("raise RuntimeError('a picture')", id="picture"))
        nbformat.write(nbformat.v4.new_notebook(cells=parts), tmp_path / "10.ipynb")
        monkeypatch.setattr(tickets, "NOTEBOOK", tmp_path / "10.ipynb")

    write(CELLS)
    return write


def test_the_notebook_s_own_cells_are_run(notebook):
    table, seconds = tickets.walk()
    assert table.round(3)["value"].to_dict() == {"counts": 0.96, "BERT": 0.978, "difference": 0.018}
    assert table.loc["counts", ["low", "high"]].tolist() == pytest.approx([0.95, 0.97])
    assert set(seconds) == {"counts", "BERT"}


def test_another_split_changes_the_draw_alone(notebook):
    assert tickets.walk(3)[0].loc["counts", "value"] == pytest.approx(0.963)


def test_a_notebook_whose_road_was_renamed_or_whose_draw_is_hidden_is_refused(notebook):
    notebook({name: source for name, source in CELLS.items() if name != "road-judge"})
    with pytest.raises(KeyError, match="road-judge"):
        tickets.walk()
    notebook(CELLS | {"road-in": "split_of = dict(seed=SEED)"})
    with pytest.raises(ValueError, match="no longer says 'seed=0'"):
        tickets.walk()


def test_what_is_recorded_is_bert_with_the_counts_beside_it(notebook, monkeypatch):
    found = {}
    monkeypatch.setattr(tickets, "record", lambda name, value, **rest: found.update(name=name, value=value, rest=rest))
    tickets.measure(splits=2)
    assert found["name"] == "tickets.auc"
    assert found["value"] == pytest.approx(0.978)
    rest = found["rest"]
    assert (rest["counts_value"], rest["counts_low"], rest["counts_high"]) == (0.96, 0.95, 0.97)
    assert (rest["difference_value"], rest["difference_low"]) == (0.018, 0.008)
    assert rest["split_1_counts"] == 0.961
    assert rest["asked"] == "counts >= 0.95; BERT above it"


def test_the_real_notebook_has_every_cell_of_the_road():
    assert set(CELLS) == set(tickets.sources())
