from itertools import pairwise

import matplotlib
import numpy as np
import pandas as pd
import pytest

matplotlib.use("agg")

import matplotlib.pyplot as plt

from helpers import datasets, plots

LABELS = list(datasets.loading.JIGSAW_LABELS)


@pytest.fixture(autouse=True)
def closed_figures():
    yield
    plt.close("all")


@pytest.fixture
def comments():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.random((200, 6)) < [0.3, 0.1, 0.2, 0.05, 0.2, 0.1], columns=LABELS).astype(np.int8)
    return datasets.as_comments(frame.assign(id=[str(i) for i in range(200)], comment_text="text"), labels=LABELS)


def texts(ax):
    return [text.get_text() for text in ax.texts]


def test_labels_keep_their_colours_in_any_company():
    everyone = plots.label_colors(LABELS)
    assert plots.label_colors(["threat", "toxic"]) == {name: everyone[name] for name in ("threat", "toxic")}
    assert len(set(everyone.values())) == 6
    assert len(set(plots.label_colors(["other", "toxic", "third"]).values())) == 3
    assert len(set(plots.label_colors([f"topic {i}" for i in range(23)]).values())) == 23


def test_label_counts_draw_the_counts_in_order(comments):
    ax = plots.label_counts(comments)
    widths = [bar.get_width() for bar in ax.patches]
    assert widths == sorted(comments[LABELS].sum())
    top = comments[LABELS].sum().max()
    assert texts(ax)[-1] == f"{top:,}  ({top / 200:.1%})"
    assert ax.get_xlabel() == "comments"


def test_a_given_ax_is_drawn_on_and_returned(comments):
    ax = plt.subplots()[1]
    assert plots.label_counts(comments, ax=ax) is ax
    assert plots.bars(pd.Series([1, 2]), ax=ax) is ax


@pytest.fixture
def style():
    with plt.rc_context():
        plots.use_style()
        yield


def extents(ax):
    ax.figure.canvas.draw()
    return [text.get_window_extent() for text in ax.texts]


@pytest.mark.usefixtures("style")
@pytest.mark.parametrize("rows", [1, 2, 6])
def test_the_name_of_the_target_stands_below_the_dots(rows):
    ax = plots.spread({str(row): np.linspace(-1, 1, 60) for row in range(rows)}, target=0, unit="off")
    (name,) = extents(ax)
    dots = [ax.transData.transform(line.get_xydata())[:, 1] for line in ax.lines[:rows]]
    assert name.y0 > ax.get_window_extent().y0 - 2
    assert name.y1 < min(map(min, dots)) + 3


@pytest.mark.parametrize("orientation", ["horizontal", "vertical"])
def test_bars_are_as_long_as_their_values_and_carry_their_texts(orientation):
    values = pd.Series([3, 1200], index=["same", "same"])
    ax = plots.bars(values, orientation=orientation)
    assert [max(bar.get_width(), bar.get_height()) for bar in ax.patches] == [3, 1200]
    assert texts(ax) == ["3", "1,200"]
    assert texts(plots.bars(values, texts=["a", "b"], orientation=orientation)) == ["a", "b"]
    with pytest.raises(ValueError, match="orientation='up': expected 'horizontal' or 'vertical'"):
        plots.bars(values, orientation="up")


def test_heat_map_writes_every_number():
    table = pd.DataFrame([[1, 0.25], [0.5, 1]], index=["a", "b"], columns=["a", "b"])
    assert texts(plots.heat_map(table, number_format=".0%")) == ["100%", "25%", "50%", "100%"]
    assert texts(plots.heat_map(table.round().astype("Int64"), number_format="d")) == ["1", "0", "0", "1"]
    with pytest.raises(ValueError, match="number_format='zz': expected a format of numbers"):
        plots.heat_map(table, number_format="zz")


def test_spread_draws_every_draw_and_the_aim():
    ax = plots.spread({"random": [1, 5, 3], "stratified": [3, 3]}, target=3, unit="threats")
    assert [len(line.get_xdata()) for line in ax.lines[:2]] == [3, 2]
    assert ax.lines[2].get_xdata() == [3, 3]


def test_no_function_shows_the_figure_itself(comments, monkeypatch):
    monkeypatch.setattr(plt, "show", lambda *a, **k: pytest.fail("plt.show() was called"))
    plots.use_style()
    plots.label_counts(comments)
    plots.histograms(pd.DataFrame({"words": [1, 2, 3]}))


def test_roc_writes_the_area_of_each_label():
    curves = {"toxic": pd.DataFrame({"fpr": [0, 0, 1], "tpr": [0, 1, 1]})}
    curves["threat"] = pd.DataFrame({"fpr": [0, 1], "tpr": [0, 1]})
    legend = [text.get_text() for text in plots.roc(curves).get_legend().get_texts()]
    assert legend == ["toxic 1.000", "threat 0.500"]


def test_precision_recall_draws_the_rates():
    curves = {"toxic": pd.DataFrame({"recall": [1, 0.5, 0], "precision": [0.2, 0.8, 1]})}
    ax = plots.precision_recall(curves, rates={"toxic": 0.2})
    assert ax.lines[1].get_ydata() == [0.2, 0.2]


def test_lines_are_named_at_their_ends_without_overlap():
    table = pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": [3.0, 2.5, 3.001], "c": [0.0, 0.5, np.nan]}, index=[1, 2, 4])
    ax = plots.lines(table)
    assert [list(line.get_ydata())[:2] for line in ax.lines] == [[1, 2], [3, 2.5], [0, 0.5]]
    places = {text.get_text(): ax.transData.transform(text.xy)[1] + text.xyann[1] for text in ax.texts}
    assert list(places) == ["c", "a", "b"]
    assert places["b"] - places["a"] > 10
    assert next(text for text in ax.texts if text.get_text() == "c").xy == (2, 0.5)
    named = plots.lines(table.abs().set_axis(["one", "two", "three"]).clip(lower=0.1), log=True)
    assert named.get_yscale() == "log"


def test_intervals_draw_value_low_and_high():
    table = pd.DataFrame({"value": [0.5, 0.9], "low": [0.4, 0.85], "high": [0.7, 0.95]}, index=["coin", "model"])
    ax = plots.intervals(table)
    drawn = [line.get_xdata() for line in ax.lines]
    assert [list(ends) for ends in drawn[::2]] == [[0.4, 0.7], [0.85, 0.95]]
    assert [list(dot) for dot in drawn[1::2]] == [[0.5], [0.9]]
    assert texts(ax) == ["0.500", "0.900"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["coin", "model"]


def test_histograms_share_their_bins():
    ax = plots.histograms(pd.DataFrame({"a": [1, 1, 10, 100], "b": [1, 10, 10, 10]}), log=True, bins=2)
    assert ax.get_xscale() == "log"
    assert [tick.get_text() for tick in ax.get_legend().get_texts()] == ["a", "b"]
    heights = [set(patch.get_xy()[:, 1]) for patch in ax.patches]
    assert heights == [{0, 2}, {0, 1, 3}]
    edges = [patch.get_xy()[:, 0].max() for patch in ax.patches]
    assert edges == [pytest.approx(100)] * 2


def test_reliability_draws_the_diagonal_and_a_line_a_model():
    points = pd.DataFrame({"predicted": [0.1, 0.6], "observed": [0.2, 0.5], "rows": [30, 10]})
    ax = plots.reliability({"one": points, "two": points})
    assert len(ax.lines) == 3
    assert ax.lines[1].get_xydata().tolist() == [[0.1, 0.2], [0.6, 0.5]]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["one", "two"]
    first, second = ax.collections[0].get_sizes()
    assert first > second


def test_heads_draw_a_box_a_layer_and_a_head_and_a_dot_a_logit():
    ax = plots.heads(["12", "256"], {"toxic": 1, "level": 3}, classes={"level": ["none", "mild", "severe"]})
    assert len(ax.patches) == 4
    assert sum(line.get_marker() == "o" for line in ax.lines) == 4
    assert [words for words in texts(ax) if words] == [
        *("12", "256", "toxic", "level: none", "level: mild", "level: severe"),
    ]
    places = [text.xy[1] for text in ax.texts if text.get_text() and text.xy[0] > 3]
    assert places == sorted(places, reverse=True)


SENTENCE = "You are a complete goat , and your $5 edits , worth $10 , are as welcome as rain at a picnic !"
WORDS = SENTENCE.split()
WEIGHTS = [0.1, 0.0, 0.2, 1.5, 3.0, *[-0.3] * 15, -6.0, 0.4, 0.1]


def boxes(ax):
    """Where each word stands on the canvas, in pixels, its frame included."""
    renderer = ax.figure.canvas.get_renderer()
    ax.figure.draw_without_rendering()
    return [text.get_bbox_patch().get_window_extent(renderer) for text in ax.texts]


def contrast(color, other):
    """WCAG's ratio of two colours, from 1 to 21; 4.5 is enough to read."""
    linear = [np.where(c <= 0.03928, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for c in map(np.array, (color, other))]
    low, high = sorted(float(one @ [0.2126, 0.7152, 0.0722]) for one in linear)
    return (high + 0.05) / (low + 0.05)


def check_places(ax, per_line):
    """Words in lines of at most `per_line` characters, none over another, all inside, between key and title."""
    found, frame = boxes(ax), ax.get_window_extent()
    rows = [round(text.get_position()[1]) for text in ax.texts]
    assert rows == sorted(rows)
    for (row, box), (next_row, after) in pairwise(zip(rows, found, strict=True)):
        assert box.x1 < after.x0 if row == next_row else box.y0 > after.y1
    assert min(box.x0 for box in found) > frame.x0 - 1
    assert max(box.x1 for box in found) < frame.x1 + 1
    assert ax.get_legend().get_window_extent().y1 < min(box.y0 for box in found)
    assert max(box.y1 for box in found) < ax.title.get_window_extent().y0
    lines = [" ".join(np.array(WORDS)[np.array(rows) == row]) for row in sorted(set(rows))]
    assert max(map(len, lines)) <= per_line
    return rows


@pytest.mark.parametrize("styled", [True, False])
@pytest.mark.parametrize("per_line", [20, 64, 90])
def test_words_stand_in_their_order_side_by_side(styled, per_line):
    with plt.rc_context():
        if styled:
            plots.use_style()
        ax = plots.diagrams.word_weights(
            pd.Series(WORDS, index=range(7, 7 + len(WORDS))), pd.Series(WEIGHTS), per_line=per_line
        )
        ax.set_title("a finding")
        assert texts(ax) == WORDS
        assert max(check_places(ax, per_line)) == {20: 4, 64: 1, 90: 1}[per_line]


@pytest.mark.parametrize("size", [(9, 2.2), (9, 1.2), (4, 4)])
def test_words_fit_into_axes_that_are_there(size):
    axes = plt.subplots(1, 2, figsize=size, layout="constrained")[1]
    assert plots.diagrams.word_weights(WORDS, WEIGHTS, per_line=40, ax=axes[1]) is axes[1]
    check_places(axes[1], 40)
    axes[1].set_title("a finding that comes later")
    check_places(axes[1], 40)
    assert not axes[0].texts


def test_titles_and_neighbours_that_come_later_move_the_words_but_not_into_each_other():
    figure, axes = plt.subplots(3, 1, figsize=(11, 2.6), layout="constrained")
    for ax in axes:
        plots.diagrams.word_weights(WORDS, WEIGHTS, ax=ax, key=ax is axes[2])
        ax.set_title("p = 0.99", fontsize=11)
    assert [ax.get_legend() is None for ax in axes] == [True, True, False]
    check_places(axes[2], 64)
    for ax, below in pairwise(axes):
        assert min(box.y0 for box in boxes(ax)) > below.title.get_window_extent().y1
    figure.set_layout_engine("none")
    axes[2].set_position([0.3, 0, 0.2, 0.2])
    found = boxes(axes[2])
    assert all(box.x1 < after.x0 or box.y0 > after.y1 for box, after in pairwise(found))


def test_the_colour_says_direction_and_strength_and_can_be_read():
    ax = plots.diagrams.word_weights(["up", "more", "none", "down"], [1.0, 4.0, 0.0, -4.0])
    up, more, none, down = (np.array(text.get_bbox_patch().get_facecolor()[:3]) for text in ax.texts)
    assert none.tolist() == [1, 1, 1]
    assert more[0] > more[2] and down[2] > down[0]
    assert (up > more)[1:].all()
    assert more.min() < 0.3 and down.min() < 0.3
    black = np.zeros(3)
    assert min(contrast(black, color) for color in (up, more, none, down)) > 6
    keys = [patch.get_facecolor()[:3] for patch in ax.get_legend().get_patches()]
    np.testing.assert_allclose(keys, [more, down])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["raises the logit", "lowers it"]
    shared = plots.diagrams.word_weights(["up", "more"], [1.0, 4.0], largest=8)
    np.testing.assert_allclose(shared.texts[1].get_bbox_patch().get_facecolor()[0], (1 + more[0]) / 2, atol=1e-6)
    beyond = plots.diagrams.word_weights(["more"], [4.0], largest=1)
    np.testing.assert_allclose(beyond.texts[0].get_bbox_patch().get_facecolor()[:3], more)


def test_words_of_all_kinds_are_drawn():
    ax = plots.diagrams.word_weights(
        ["x" * 500, "$a$", "\u4e2d\u6587\u5b57", "e\u0301", "a"], [1.0, 0, 0, 0, 0], per_line=12
    )
    assert texts(ax)[:2] == ["x" * 11 + "…", "$a$"]
    assert not ax.texts[1].get_parse_math()
    assert [text.get_position()[0] for text in ax.texts] == [0, 0, 4, 11, 0]
    assert texts(plots.diagrams.word_weights([], [])) == []
    assert texts(plots.diagrams.word_weights(["nothing"], [0.0])) == ["nothing"]


@pytest.mark.parametrize(
    ("words", "weights", "options", "message"),
    [
        (["a", "b"], [1.0], {}, r"weights \(1,\): expected 2 finite numbers, one per word"),
        (["a"], [np.nan], {}, "expected 1 finite numbers"),
        (["a"], [[1.0]], {}, r"weights \(1, 1\)"),
        (["a"], [1.0], {"largest": 0}, "largest=0: expected a number, above 0"),
        (["a"], [1.0], {"per_line": 7}, "per_line=7: expected a whole number, at least 8"),
    ],
)
def test_words_and_weights_that_do_not_fit_are_refused(words, weights, options, message):
    with pytest.raises(ValueError, match=message):
        plots.diagrams.word_weights(words, weights, **options)
