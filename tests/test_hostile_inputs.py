"""Whatever is passed to scores, losses, evaluation, plots and explorers: a result, or an error of ours that says why.

Each public function is called once as it should be, then with every argument replaced by what people pass by mistake.
An error must be raised on purpose: its last frame is a `raise` statement in `helpers`, not a line of a library, and not
a line of ours on which an operation happened to fail.
"""

import ast
import inspect
import linecache
import math
import traceback
import warnings
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

import helpers
from helpers import datasets, evaluation, export, loaders, losses, metrics, models, plots, text, widgets

PACKAGE = Path(helpers.__file__).parent
RNG = np.random.default_rng(0)
TRUTH, SCORES = (RNG.random((40, 2)) < 0.5).astype(float), RNG.random((40, 2))
ONE, ONE_SCORES = TRUTH[:, 0], SCORES[:, 0]
LOGITS, TARGETS = torch.randn(8, 2), torch.arange(16).reshape(8, 2) % 3 % 2.0
FRAME = pd.DataFrame({"a": [1, 0, 1, 0], "b": [0, 1, 1, 0]}, index=[1, 2, 3, 4])
SERIES = pd.Series([1.0, 2.0], index=["x", "y"])
GROUPS = pd.DataFrame({"g": RNG.random(40) < 0.5})
BOTH = {"targets": TRUTH, "probabilities": SCORES}
NAMED = {**BOTH, "labels": ["a", "b"]}
LOSS = {"logits": LOGITS, "targets": TARGETS, "reduction": "mean"}
CURVE = {"targets": ONE, "probabilities": ONE_SCORES}
CALLS = {
    metrics.auc_by_label: NAMED,
    metrics.f1: {**BOTH, "average": "macro", "threshold": 0.5},
    metrics.label_accuracy: {**BOTH, "threshold": 0.5},
    metrics.label_report: {**NAMED, "threshold": [0.5, 0.4]},
    metrics.mean_auc: NAMED,
    metrics.mean_average_precision: NAMED,
    metrics.precision_recall_points: {"targets": ONE, "probabilities": ONE_SCORES},
    metrics.roc_points: {"targets": ONE, "probabilities": ONE_SCORES},
    metrics.subset_accuracy: {**BOTH, "threshold": 0.5},
    losses.asymmetric: {**LOSS, "gamma_neg": 4.0, "gamma_pos": 1.0, "clip": 0.05},
    losses.bce: {**LOSS, "pos_weight": torch.ones(2)},
    losses.class_weights_from_counts: {"labels": TARGETS, "heads": {"a": 1, "b": 2}},
    losses.focal: {**LOSS, "gamma": 2.0, "alpha": 0.25},
    losses.multi_head: {
        "logits": {"a": LOGITS[:, :1], "b": torch.randn(8, 3)},
        "labels": TARGETS,
        "head_weights": {"a": 1.0, "b": 2.0},
        "class_weights": {"a": 2.0, "b": [1.0, 1.0, 2.0]},
        "reduction": "mean",
    },
    losses.pos_weight_from_counts: {"targets": TARGETS},
    evaluation.bias_report: {**CURVE, "groups": GROUPS, "min_support": 2, "threshold": 0.5},
    evaluation.bias_score: {
        "report": evaluation.bias_report(**CURVE, groups=GROUPS, min_support=1),
        "overall_auc": 0.9,
    },
    evaluation.bootstrap: {
        **NAMED,
        "metric": "auc",
        "baseline": SCORES,
        "n_resamples": 5,
        "confidence_level": 0.9,
        "seed": 0,
    },
    evaluation.brier: NAMED,
    evaluation.calibration_error: {**BOTH, "n_bins": 5, "strategy": "uniform"},
    evaluation.fit_calibration: {**NAMED, "method": "platt", "shared": False, "ids": list(range(40))},
    evaluation.mentions: {"texts": ["a b", "c"], "terms": {"g": ["a"]}},
    evaluation.reliability: {**CURVE, "n_bins": 5, "strategy": "quantile"},
    evaluation.tune_thresholds: {**NAMED, "objective": "f1", "ids": list(range(40)), "beta": 1.0, "costs": (1.0, 1.0)},
    plots.bars: {"values": SERIES, "texts": ["1", "2"], "orientation": "vertical"},
    plots.heads: {"layers": ["1", "2"], "sizes": {"a": 1, "b": 3}, "classes": {"b": ["x", "y", "z"]}},
    plots.heat_map: {"table": FRAME, "limits": (0, 1)},
    plots.histograms: {"table": FRAME, "bins": 5},
    plots.intervals: {"table": pd.DataFrame({"value": [0.9], "low": [0.8], "high": [0.95]}, index=["x"])},
    plots.label_colors: {"labels": ["a", "b"]},
    plots.label_counts: {"frame": FRAME, "labels": ["a", "b"]},
    plots.lines: {"table": FRAME},
    plots.precision_recall: {"curves": {"a": metrics.precision_recall_points(ONE, ONE_SCORES)}, "rates": {"a": 0.5}},
    plots.reliability: {"curves": {"a": evaluation.reliability(ONE, ONE_SCORES, n_bins=3)}},
    plots.roc: {"curves": {"a": metrics.roc_points(ONE, ONE_SCORES)}},
    plots.spread: {"values": {"a": [1, 2]}, "target": 1.5, "unit": "u", "name": "n"},
    plots.diagrams.word_weights: {
        "words": ["a", "b"],
        "weights": [0.1, -0.2],
        "largest": 1.0,
        "per_line": 20,
        "key": True,
    },
    widgets.LabelExplorer: {"frame": FRAME, "chosen": ["a"], "labels": ["a", "b"], "measure": "shares"},
    widgets.ThresholdExplorer: {**NAMED, "start": 0.5, "tuned": [0.4, 0.6], "label": "a"},
    widgets.cooccurrence: {"frame": FRAME, "chosen": ["a"], "labels": ["a", "b"]},
    widgets.decisions: {**NAMED, "threshold": 0.5},
}
HOSTILE = [
    None,
    "toxic",
    "\ud800",
    b"x",
    3,
    0,
    -1,
    2.5,
    math.nan,
    math.inf,
    1j,
    True,
    object(),
    [],
    ["x"],
    ["x", "y"],
    [1, 2],
    [["x"], "y"],
    {},
    {"q": 1},
    {"a", "b"},
    np.array(2.0),
    np.zeros(3),
    np.zeros((2, 2, 2)),
    np.array(["a", None], dtype=object),
    torch.zeros(2),
    pd.DataFrame(),
    pd.DataFrame({"q": ["z", "w"]}),
    pd.DataFrame({"a": [math.nan] * 4, "b": [math.nan] * 4}),
    pd.Series(["z", "w"]),
]


def raised_on_purpose(error):
    """Whether the last frame is a `raise` statement of the package."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    if PACKAGE not in Path(frame.filename).parents or not isinstance(error, ValueError | TypeError):
        return False
    lines = "".join(linecache.getlines(frame.filename))
    statements = [node for node in ast.walk(ast.parse(lines)) if isinstance(node, ast.Raise)]
    return any(node.lineno <= frame.lineno <= node.end_lineno for node in statements)


def test_every_public_function_is_called():
    for module in (metrics, losses, evaluation, plots, widgets):
        public = {getattr(module, name) for name in module.__all__}
        made_by_others = {plots.use_style}
        assert {found for found in public if callable(found)} - made_by_others <= set(CALLS)


@pytest.mark.parametrize("function", CALLS, ids=lambda function: f"{function.__module__}.{function.__name__}")
def test_an_error_is_one_of_ours(function):
    good = CALLS[function]
    assert set(good) <= set(inspect.signature(function).parameters)
    leaks = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        function(**good)
        for name in good:
            for value in HOSTILE:
                try:
                    function(**{**good, name: value})
                except Exception as error:
                    if not raised_on_purpose(error):
                        leaks.append(f"{name}={value!r:.40}: {type(error).__name__}: {error!s:.80}")
            plt.close("all")
    assert not leaks, "\n".join(leaks)


def drawn(figure):
    """The texts of a figure as a reader sees them, after it was drawn."""
    FigureCanvasAgg(figure).draw()
    texts = [text for text in figure.findobj(plt.Text) if text.get_text()]
    return {text.get_text().replace(r"\$", "$").removeprefix("\u200b") for text in texts}


@pytest.mark.parametrize("name", [r"$\frac$", "under $50 or $60", "_hidden", "a_b$c", "$"])
def test_names_are_drawn_as_they_are(name):
    """Not as formulas between dollars, and also where they begin with an underscore."""
    table = pd.DataFrame({name: [0.5, 0.25], "b": [0.25, 0.5]}, index=["x", "y"])
    points = metrics.roc_points(ONE, ONE_SCORES)
    pictures = [
        plots.bars(table.iloc[0]),
        plots.heat_map(table),
        plots.lines(table),
        plots.histograms(table),
        plots.spread({name: [1, 2]}, target=1.5, unit=name),
        plots.roc({name: points}),
        plots.reliability({name: evaluation.reliability(ONE, ONE_SCORES, n_bins=3)}),
        plots.precision_recall({name: metrics.precision_recall_points(ONE, ONE_SCORES)}),
        plots.label_counts(pd.DataFrame({name: [1, 0]}), labels=[name]),
        plots.heads([name], {name: 1}),
        plots.diagrams.word_weights([name], [1.0]),
    ]
    figures = [ax.figure for ax in pictures]
    figures.append(widgets.ThresholdExplorer(TRUTH, SCORES, labels=[name, "b"]).figure())
    figures.append(widgets.LabelExplorer(table.round().astype(int), ["b"], labels=[name, "b"]).figure())
    for figure in figures:
        assert any(name in text for text in drawn(figure)), drawn(figure)
    plt.close("all")


PATHS = {
    "source": [datasets.load_comments, datasets.load_reviews, datasets.load_templates],
    "folder": [
        models.load_tagger,
        export.Predictor.load,
        lambda path: models.set_thresholds(path, {"toxic": 0.5}),
    ],
    "name": [models.load_encoder],
    "encoder": [text.load_tokenizer],
}


@pytest.mark.parametrize("value", [None, 3, ["a.csv"]], ids=["None", "number", "list"])
@pytest.mark.parametrize("name", PATHS)
def test_what_is_no_path_is_refused_by_name(name, value):
    for call in PATHS[name]:
        with pytest.raises(ValueError, match=f"^{name}: expected a path, got a {type(value).__name__}"):
            call(value)


def test_a_table_in_memory_is_no_file_of_comments():
    with pytest.raises(ValueError, match=r"got a DataFrame; datasets\.as_comments names the columns"):
        datasets.load_comments(pd.DataFrame({"comment_text": ["Hello"], "toxic": [0]}))


@pytest.mark.parametrize("argument", [{"text": None}, {"text": ["message"]}, {"id": 3}], ids=str)
def test_a_column_of_a_file_is_named_by_text(argument, tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("message,rude\nHello,0\nGo away,1\n")
    with pytest.raises(ValueError, match="expected the name of a column"):
        datasets.load_comments(file, **{"text": "message", "id": None} | argument)


def test_what_is_no_tagger_of_counts_and_no_dict_of_inputs_is_refused_by_name(tmp_path):
    with pytest.raises(ValueError, match=r"tagger: expected a models\.BertTagger, got a int"):
        models.save_tagger(tmp_path / "counts", 3)
    with pytest.raises(ValueError, match="inputs is a ndarray: expected a dict"):
        loaders.array_loader(np.eye(3), np.ones((3, 1)))


def test_a_page_is_refused_what_is_no_predictor_and_no_list_of_examples():
    tagger = models.CountTagger().fit(["a goat", "a lamp", "no goat"], pd.DataFrame({"goat": [1, 0, 1]}))
    with pytest.raises(ValueError, match=r"expected what export\.Predictor\.load\(folder\) returns, got a CountTagger"):
        export.demo(tagger)
    with pytest.raises(ValueError, match="examples is a str: expected a list of texts"):
        export.demo(object.__new__(export.Predictor), examples="You are a goat.")


def test_the_name_of_a_tokenizer_is_no_tokenizer():
    with pytest.raises(ValueError, match="tokenizer: expected what load_tokenizer returns, got a str"):
        text.token_counts(["Hello"], "bert-base-cased")
