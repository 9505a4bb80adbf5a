"""Explorers in JupyterLab and a real browser: what moves under the hand is what the kernel then counts with."""

from moving import Moving, choose_labels, move_thresholds

THRESHOLDS = """
import numpy as np
from helpers import widgets
draw = np.random.default_rng(0)
targets = (draw.random((900, 3)) < 0.3).astype(int)
scores = 0.4 * targets + 0.6 * draw.random(targets.shape)
explorer = widgets.ThresholdExplorer(targets, scores, labels=["toxic", "threat", "rude & odd"], tuned=[0.2, 0.3, 0.4])
explorer.show()"""
TOGETHER = """
from helpers import datasets, widgets
explorer = widgets.LabelExplorer(datasets.load_comments("sample"))
explorer.show()"""
ROW = """
row = explorer.table().loc["threat", ["threshold", "precision", "recall", "f1"]]
print(*(f"{value:.3f}" for value in row))"""


def shown_once(notebook):
    """The widget is there, and the picture for places without widgets is hidden below it."""
    pictures = notebook.cell(1).locator(".jp-OutputArea-child img:visible")
    assert pictures.count() == 1 and "explore-picture" in pictures.get_attribute("class")


def test_thresholds_move(written, pictures):
    notebook = written(THRESHOLDS, ROW)
    notebook.run_all(120)
    shown_once(notebook)
    move_thresholds(notebook, "threat")
    counted = notebook.run_cell(2).text.split()  # the kernel has heard of every move before this cell
    shown = Moving(notebook, "thresholds")
    stands = shown.find("numbers-threat")
    notebook.until(
        lambda: stands.inner_text().split()[:4] == counted, 20, "what stands there is not what the kernel counts with"
    )
    for button, expected in (("half", "0.500"), ("tuned", "0.300")):
        (row,) = shown.after(shown.find(button).click, "numbers-threat")
        assert row[0] == expected
    shown.find("slider-rude-odd").locator(".noUi-handle").focus()
    (row,) = shown.after(lambda: notebook.page.keyboard.press("End"), "numbers-rude-odd")
    assert row[0] == "never" and row[4] == "0"
    faults = notebook.look(pictures)
    assert not faults, "\n".join(map(str, faults))


def test_labels_are_chosen(written, pictures):
    notebook = written(TOGETHER, "print(explorer.chosen, explorer.measure)")
    notebook.run_all(120)
    shown_once(notebook)
    choose_labels(notebook, "threat")
    assert notebook.run_cell(2).text.strip() == "['threat'] shares"
    shown = Moving(notebook, "together")
    before = shown.find("examples").inner_text()
    shown.find("others").click()
    notebook.until(lambda: shown.find("examples").inner_text() != before, 20, "no other examples")
    faults = notebook.look(pictures)
    assert not faults, "\n".join(map(str, faults))
