"""Explorers: numbers as scikit-learn has them, a move changes what is shown, and without a front end a picture."""

import io
import re
import sys
import warnings

import matplotlib

matplotlib.use("agg")

import matplotlib.pyplot as plt
import nbformat
import numpy as np
import pandas as pd
import pytest
import run_notebooks
from matplotlib.image import imread
from nbclient import NotebookClient
from nbformat.v4 import new_code_cell, new_notebook
from notebook_outputs import WIDGET, read_notebook
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support
from sklearn.multiclass import OneVsRestClassifier

from helpers import datasets, evaluation, metrics, plots, widgets
from helpers.widgets.label_buttons import cooccurrence_figure
from helpers.widgets.rendering import png
from helpers.widgets.threshold_sliders import score_curve

LABELS = list(datasets.loading.JIGSAW_LABELS)
CUTS = [0.3, 0.1, 0.25, np.inf, 0.2, 0.05]
KERNEL = """import sys, types
import numpy as np, pandas as pd
from helpers import widgets
truth = np.array([[0, 1], [1, 0], [1, 1], [0, 0]])
scores = np.array([[0.2, 0.6], [0.7, 0.1], [0.4, 0.9], [0.6, 0.3]])
by_hand = widgets.ThresholdExplorer(truth, scores, labels=["a", "b"])"""
COLAB = 'sys.modules["google.colab"] = types.ModuleType("google.colab")\nby_hand.show()'
WITHOUT = """sys.modules["ipywidgets"] = None
widgets.LabelExplorer(pd.DataFrame(truth, columns=["a", "b"]), ["a"], labels=["a", "b"]).show()"""


@pytest.fixture(scope="module")
def comments():
    return datasets.load_comments("sample")


@pytest.fixture(scope="module")
def scored(comments):
    """Targets of rows that a real model has not seen, one in ten unknown, and its probabilities."""
    train, rest = comments[:3000], comments[3000:5000].reset_index(drop=True)
    words = TfidfVectorizer(min_df=2)
    model = OneVsRestClassifier(LogisticRegression(C=3, solver="liblinear"))
    model.fit(words.fit_transform(train["comment_text"]), train[LABELS])
    found = pd.DataFrame(model.predict_proba(words.transform(rest["comment_text"])), columns=LABELS)
    unknown = np.random.default_rng(0).random(found.shape) < 0.1
    return rest[LABELS].astype(float).mask(unknown), found


@pytest.fixture
def explorer(scored):
    return widgets.ThresholdExplorer(*scored, tuned=evaluation.tune_thresholds(*scored)["threshold"])


@pytest.fixture
def labels_explorer(comments):
    return widgets.LabelExplorer(comments, ["insult"])


def pixels(data):
    return imread(io.BytesIO(data), format="png")


def part(explorer, name):
    """The only widget of an explorer that has the CSS class `explore-name`."""
    result, todo = [], [explorer.widget]
    while todo:
        widget = todo.pop()
        todo += getattr(widget, "children", ())
        result += [widget] if f"explore-{name}" in widget._dom_classes else []
    assert len(result) == 1
    return result[0]


def texts(figure):
    return [text.get_text() for ax in figure.axes for text in ax.texts]


# ---------------------------------------------------------------- the numbers


@pytest.mark.parametrize("threshold", [0.5, 0.0, 1.0, CUTS], ids=str)
def test_decisions_are_those_of_scikit_learn_over_the_known_rows(scored, threshold):
    targets, probabilities = scored[0], scored[1].round(2)  # some stand at the threshold itself
    table = widgets.decisions(targets, probabilities, threshold)
    cuts = np.broadcast_to(threshold, 6)
    for label, cut in zip(LABELS, cuts, strict=True):
        known = targets[label].notna()
        truth, yes = targets.loc[known, label].astype(int), (probabilities.loc[known, label] >= cut).astype(int)
        tn, fp, fn, tp = confusion_matrix(truth, yes, labels=[0, 1]).ravel()
        row = table.loc[label]
        assert row[["tp", "fn", "fp", "tn"]].tolist() == [tp, fn, fp, tn]
        wanted = precision_recall_fscore_support(truth, yes, average="binary", zero_division=0.0)[:3]
        assert row[["precision", "recall", "f1"]].tolist() == pytest.approx(wanted, abs=1e-12)
    assert table["threshold"].tolist() == cuts.tolist()


def test_means_are_those_of_scikit_learn_and_of_the_metrics(scored):
    targets, probabilities = scored
    complete, yes = targets.fillna(0).astype(int), (probabilities >= CUTS).astype(int)
    explorer = widgets.ThresholdExplorer(complete, probabilities, start=CUTS)
    for average in ("macro", "micro"):
        wanted = precision_recall_fscore_support(complete, yes, average=average, zero_division=0.0)[:3]
        shown = numbers(explorer, average)
        assert shown[1:4] == [f"{value:.3f}" for value in wanted]
    with_gaps = widgets.ThresholdExplorer(targets, probabilities, start=CUTS)
    for average in ("macro", "micro"):
        wanted = metrics.f1(targets, probabilities, average=average, threshold=CUTS)
        assert numbers(with_gaps, average)[3] == f"{wanted:.3f}"
    assert numbers(with_gaps, "macro")[4:] == ["–"] * 3
    assert numbers(with_gaps, "micro")[4] == f"{with_gaps.table()['tp'].sum():,}"


def numbers(explorer, name):
    """What stands in a row: threshold, precision, recall, F1, TP, FN and FP."""
    return re.sub("<[^>]*>", "", part(explorer, name).value).split()


def test_a_label_of_which_nothing_is_known_has_no_score_and_leaves_the_macro_mean_alone(scored):
    targets, probabilities = scored
    targets = targets.assign(threat=np.nan)
    assert widgets.decisions(targets, probabilities, 0.2).loc["threat", ["precision", "recall", "f1"]].isna().all()
    explorer = widgets.ThresholdExplorer(targets, probabilities, start=0.2, label="threat")
    assert numbers(explorer, "macro")[3] == f"{metrics.f1(targets, probabilities, threshold=0.2):.3f}"
    explorer.sliders["threat"].value = 0.1
    assert numbers(explorer, "numbers-threat") == ["0.100", "–", "–", "–", "0", "0", "0"]


def test_the_curve_passes_through_the_decisions(scored):
    truth, scores = scored[0]["insult"], scored[1]["insult"]
    points = score_curve(scores[truth == 1], scores[truth == 0], points=11)
    for cut in (0.0, 0.2, 0.5):
        row = widgets.decisions(*scored, cut).loc["insult"]
        pd.testing.assert_series_equal(points.loc[cut], row, check_names=False)
    assert np.isnan(points.loc[1.0, "precision"])
    assert points.loc[1.0, "recall"] == 0


# ---------------------------------------------------------------- thresholds under the hand


def test_moving_a_slider_changes_numbers_means_and_picture(explorer):
    names = ("numbers-insult", "micro", "picture")
    before = [part(explorer, name).value for name in names]
    others = numbers(explorer, "numbers-toxic")
    explorer.sliders["insult"].value = 0.2
    after = [part(explorer, name).value for name in names]
    assert all(old != new for old, new in zip(before, after, strict=True))
    assert numbers(explorer, "numbers-toxic") == others
    row = explorer.table().loc["insult"]
    scores = [f"{row[name]:.3f}" for name in ("threshold", "precision", "recall", "f1")]
    assert scores[0] == "0.200"
    assert numbers(explorer, "numbers-insult") == [*scores, *(f"{row[name]:,.0f}" for name in ("tp", "fn", "fp"))]
    assert explorer.label == "insult" == part(explorer, "label").value
    assert explorer.thresholds["insult"] == 0.2
    part(explorer, "label").value = "toxic"
    assert explorer.label == "toxic"
    assert part(explorer, "picture").value != after[2]


def test_the_far_right_is_never(explorer):
    explorer.sliders["toxic"].value = 5  # a slider stops at its end
    assert explorer.thresholds["toxic"] == np.inf
    assert numbers(explorer, "numbers-toxic")[0] == "never"
    assert explorer.table().loc["toxic", ["tp", "fp"]].sum() == 0
    assert "'toxic': never predicted" in texts(explorer.figure())
    assert "true positives 0" in texts(explorer.figure())
    explorer.sliders["toxic"].value = 1.0
    assert explorer.thresholds["toxic"] == 1.0


def test_the_button_takes_the_tuned_thresholds_exactly(scored, explorer):
    tuned = evaluation.tune_thresholds(*scored)
    part(explorer, "tuned").click()
    assert explorer.thresholds.tolist() == tuned["threshold"].tolist()
    assert explorer.table()["f1"].tolist() == pytest.approx(tuned["valid"].tolist())
    slider = explorer.sliders["insult"]
    slider.value = round(slider.value / 0.005) * 0.005  # what a browser answers to a value between two steps
    assert explorer.thresholds["insult"] == tuned.loc["insult", "threshold"]
    part(explorer, "half").click()
    assert (explorer.thresholds == 0.5).all()
    assert all(slider.value == 0.5 for slider in explorer.sliders.values())


def test_tuned_thresholds_may_be_never(scored):
    explorer = widgets.ThresholdExplorer(*scored, start=CUTS)
    assert explorer.thresholds["threat"] == np.inf
    assert explorer.sliders["threat"].value == explorer.sliders["threat"].max
    explorer.set(0.5)
    explorer.set(CUTS)
    assert explorer.thresholds.tolist() == CUTS


def test_what_moved_looks_like_what_is_drawn_anew(explorer):
    for value in (0.1, 0.9, 2, 0.305):
        explorer.sliders["obscene"].value = value
        moved, anew = pixels(part(explorer, "picture").value), pixels(png(explorer.figure()))
        assert moved.shape == anew.shape
        assert (np.abs(moved - anew).max(axis=-1) > 0.2).mean() < 0.01


def test_many_moves_leave_no_figure_open(explorer, labels_explorer):
    plt.close("all")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for step in range(8):
            explorer.sliders[LABELS[step % 2]].value = 0.1 + step / 100
        for step in range(6):
            labels_explorer.buttons["threat"].value = bool(step % 2)
    assert plt.get_fignums() == []


def test_many_labels_and_odd_names(scored):
    rng = np.random.default_rng(0)
    names = [f"topic <b>{i}</b> & more" for i in range(23)]
    truth = (rng.random((50, 23)) < 0.3).astype(int)
    explorer = widgets.ThresholdExplorer(truth, rng.random((50, 23)), labels=names)
    explorer.sliders[names[7]].value = 0.1
    assert "explore-slider-topic-b-7-b-more" in explorer.sliders[names[7]]._dom_classes
    numbered = widgets.ThresholdExplorer(truth, rng.random((50, 23)))
    numbered.sliders[22].value = 0.9
    assert numbered.label == 22
    assert numbered.thresholds[22] == 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"probabilities": np.zeros((4, 3))}, r"targets \(4, 2\) and probabilities \(4, 3\)"),
        ({"probabilities": np.full((4, 2), 1.5)}, r"row 0, label 0 .* is 1\.5"),
        ({"start": [0.5, 0.5, 0.5]}, r"threshold has shape \(3,\): expected one number, or 2"),
        (
            {"tuned": pd.Series([0.5, 0.5], index=["b", "a"])},
            r"threshold is for \['b', 'a'\], the labels are \['a', 'b'\]",
        ),
        ({"start": -0.1}, "each must lie in"),
        ({"label": "c"}, "label='c': expected 'a' or 'b'"),
    ],
    ids=["shapes", "values", "start", "tuned", "range", "label"],
)
def test_what_does_not_fit_is_named(change, message):
    arguments = {"targets": np.eye(4)[:, :2], "probabilities": np.zeros((4, 2)), "labels": ["a", "b"], **change}
    with pytest.raises(ValueError, match=message):
        widgets.ThresholdExplorer(**arguments)


# ---------------------------------------------------------------- which labels come together


@pytest.mark.parametrize("chosen", [["insult"], ["obscene", "insult"], []], ids=str)
def test_cooccurrence_counts_what_pandas_counts(comments, chosen):
    table = widgets.cooccurrence(comments, chosen)
    rows = comments[comments[chosen].eq(1).all(axis=1)]
    assert table.index.tolist() == [label for label in LABELS if label not in chosen]
    for label, row in table.iterrows():
        assert row["both"] == rows[label].sum()
        assert row["share_of_chosen"] == pytest.approx(rows[label].mean())
        has_both = comments[[label, *chosen]].eq(1).all(axis=1).sum()
        assert row["share_of_label"] == pytest.approx(has_both / comments[label].sum())
        assert row["lift"] == pytest.approx(rows[label].mean() / comments[label].mean())
        assert row["expected"] * row["lift"] == pytest.approx(row["both"])


def test_lift_and_counts_are_the_same_both_ways_and_shares_are_not(comments):
    there, back = widgets.cooccurrence(comments, ["toxic"]), widgets.cooccurrence(comments, ["threat"])
    assert there.loc["threat", ["both", "lift"]].tolist() == back.loc["toxic", ["both", "lift"]].tolist()
    assert there.loc["threat", "share_of_chosen"] == back.loc["toxic", "share_of_label"]
    assert there.loc["threat", "share_of_chosen"] < back.loc["toxic", "share_of_chosen"]


def test_unknown_labels_are_left_out_pair_by_pair():
    frame = pd.DataFrame({"a": [1, 1, 1, 0, np.nan], "b": [1, 0, np.nan, 1, 1], "c": [0, 0, 0, 0, 1]})
    table = widgets.cooccurrence(frame, ["a"], labels=["a", "b", "c"])
    assert table.loc["b", ["both", "chosen_rows", "label_rows", "rows"]].tolist() == [1, 2, 2, 3]
    assert table.loc["c", ["both", "chosen_rows", "label_rows", "rows"]].tolist() == [0, 3, 0, 4]
    assert np.isnan(table.loc["c", ["share_of_label", "lift"]].tolist()).all()
    for measure in ("shares", "counts", "lift"):
        assert len(cooccurrence_figure(table, ["a"], ["a", "b", "c"], measure).axes) == 2


def test_pressing_a_label_or_a_measure_changes_picture_and_examples(labels_explorer, comments):
    picture, examples = part(labels_explorer, "picture"), part(labels_explorer, "examples")
    pictures, first = [picture.value], examples.value
    labels_explorer.buttons["threat"].value = True
    assert labels_explorer.chosen == ["threat", "insult"]
    assert len(labels_explorer.examples()) == 3
    assert labels_explorer.examples()[["threat", "insult"]].eq(1).all(axis=None)
    second = examples.value
    assert first != second
    for measure in ("shares", "counts", "lift"):
        part(labels_explorer, "measure").value = measure
        pictures.append(picture.value)
    assert len(set(pictures)) == 4
    part(labels_explorer, "others").click()
    assert examples.value != second
    for button in labels_explorer.buttons.values():
        button.value = True
    assert labels_explorer.table().empty


def test_the_picture_says_the_shares(comments):
    table = widgets.cooccurrence(comments, ["severe_toxic"])
    left, right = cooccurrence_figure(table, ["severe_toxic"], LABELS, "shares").axes
    row = table.loc["toxic"]
    assert f"{row['share_of_chosen']:.0%} of {int(row['chosen_rows']):,}" in [text.get_text() for text in left.texts]
    assert f"{row['share_of_label']:.0%} of {int(row['label_rows']):,}" in [text.get_text() for text in right.texts]
    colors = plots.label_colors(LABELS)
    assert matplotlib.colors.to_hex(left.containers[-1][-1].get_facecolor()).upper() == colors["toxic"]


def test_examples_cannot_run_and_are_masked_on_request():
    frame = pd.DataFrame({"comment_text": ["<script>x</script> damned", "fine"], "a": [1, 0], "b": [1, 0]})
    plain = widgets.LabelExplorer(frame, ["a"], labels=["a", "b"])
    masked = widgets.LabelExplorer(frame, ["a"], labels=["a", "b"], masked=True)
    shown = part(plain, "examples").value
    assert "<script" not in shown and "damned" in shown and "fine" not in shown
    assert "damned" not in part(masked, "examples").value
    without_text = widgets.LabelExplorer(frame.drop(columns="comment_text"), ["a"], labels=["a", "b"])
    without_text.buttons["b"].value = True
    assert without_text.table().empty


@pytest.mark.parametrize(
    ("chosen", "options", "message"),
    [
        (["c"], {}, r"chosen labels \['c'\] are not among the labels \['a', 'b'\]"),
        (["a", "a"], {}, r"chosen=\['a', 'a'\]: expected a list of different names"),
        (["a"], {"labels": ["a", "d"]}, r"labels \['d'\] are no columns: the table has \['a', 'b'\]"),
        (["a"], {"measure": "odds"}, "measure='odds': expected 'shares' or 'counts' or 'lift'"),
    ],
)
def test_labels_that_do_not_fit_are_named(chosen, options, message):
    frame = pd.DataFrame({"a": [1, 0], "b": [0, 1]})
    with pytest.raises(ValueError, match=message):
        widgets.LabelExplorer(frame, chosen, **{"labels": ["a", "b"], **options})


# ---------------------------------------------------------------- where no widget runs


@pytest.mark.kernel
def test_a_stored_notebook_holds_pictures_and_no_widget(tmp_path):
    path = tmp_path / "01_a.ipynb"
    figure = {"metadata": {"tags": ["figure"], "alt": "rows"}}
    sources = [KERNEL, "by_hand.show()", COLAB.replace("by_hand.show()", ""), WITHOUT]
    cells = [new_code_cell(source, id=f"cell-{i}", **figure) for i, source in enumerate(sources)]
    nbformat.write(new_notebook(cells=cells), path)
    assert run_notebooks.main([str(path)]) == 0
    outputs = [cell.outputs for cell in read_notebook(path).cells]
    assert [list(output.data) for output in outputs[1]] == [["image/png", "text/plain"]]
    assert outputs[1][0].data["text/plain"].startswith("<Figure size")
    assert "ipywidgets is not installed" in outputs[3][0].text
    assert [list(output.data) for output in outputs[3][1:]] == [["image/png", "text/plain"]]
    assert WIDGET not in path.read_text()


@pytest.mark.kernel
def test_a_kernel_sends_the_widget_then_the_picture_and_colab_gets_both_in_one(tmp_path):
    notebook = new_notebook(cells=[new_code_cell(source) for source in (KERNEL, "by_hand.show()", COLAB)])
    NotebookClient(notebook, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}).execute()
    plain, colab = ([set(output.data) for output in cell.outputs] for cell in notebook.cells[1:])
    assert plain == [{WIDGET, "text/plain"}, {"image/png", "text/plain"}]
    assert colab == [{WIDGET, "image/png", "text/plain"}]
    hint = notebook.cells[1].outputs[0].data["text/plain"]
    assert hint == "Run this cell in JupyterLab or Colab: the picture below moves."


def test_without_ipywidgets_the_thresholds_can_still_be_set(scored, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    explorer = widgets.ThresholdExplorer(*scored)
    assert explorer.widget is None
    explorer.set(CUTS)
    assert explorer.thresholds.tolist() == CUTS
    explorer.show()
    assert "pip install ipywidgets" in capsys.readouterr().out
