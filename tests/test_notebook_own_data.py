"""Notebook 10's roads: fewer than thirty lines each, and true for a file with other labels, columns and gaps."""

import numpy as np
import pandas as pd
import pytest
import tickets

SHARED = ("road-in", "road-judge")
ROADS = {"counts": (*SHARED, "road-counts"), "BERT": (*SHARED, "road-bert-a", "road-bert-b")}
NAMES = {"Garten": ["Rose", "Tulpe", "Spaten", "Beet"], "Küche": ["Topf", "Pfanne", "Löffel", "Herd"]}


@pytest.mark.parametrize("road", ROADS)
def test_each_road_is_shorter_than_thirty_lines(road):
    cells = tickets.sources()
    lines = [line for name in ROADS[road] for line in cells[name].splitlines() if line.strip()]
    assert len(lines) < 30
    assert max(map(len, lines)) <= 80


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """What the notebook's cells leave behind when `MINE` is a German file of 160 rows and three labels."""
    rng, lines = np.random.default_rng(0), []
    for row in range(160):
        chosen = rng.random(2) < 0.5
        words = [rng.choice(words) for words, yes in zip(NAMES.values(), chosen, strict=True) if yes]
        urgent = bool(rng.random() < 0.3)
        text = f"Wo ist {' und '.join(words) or 'es'}{' sofort' if urgent else ''}, Nummer {rng.integers(1e6)}?"
        lines.append((f"N{row}", "Süd", text, *chosen.astype(int), "" if row < 40 else int(urgent)))
    file = tmp_path_factory.mktemp("mine") / "mine.csv"
    columns = ["Schlüssel", "Ort", "Frage", *NAMES, "eilig"]
    pd.DataFrame(lines, columns=columns).to_csv(file, index=False, encoding="cp1252")
    options = {"text": "Frage", "id": "Schlüssel", "drop": ["Ort"], "encoding": "cp1252", "allow_unknown": True}
    cells, space = tickets.sources(), {"display": lambda *_: None}
    mine = cells["mine"].splitlines()
    assert [line.split(" =")[0] for line in mine[:2]] == ["MINE", "COLUMNS"]
    cells["mine"] = "\n".join([f"MINE = {str(file)!r}", f"COLUMNS = {options!r}", *mine[2:]])
    for name, source in cells.items():
        exec(compile(source, name, "exec"), space)
    yield space
    space["folder"].cleanup()


@pytest.mark.parametrize("road", ["counts", "bert"])
def test_a_file_of_one_s_own_walks_both_roads(walked, road):
    assert walked["LABELS"] == ["Garten", "Küche", "eilig"]
    report = walked[f"{road}_report"]
    assert list(report.index) == ["Garten", "Küche", "eilig", "mean"]
    assert report.loc["mean", "value"] > 0.9
    assert report["low"].le(report["value"]).all()


@pytest.mark.parametrize("road", ["counts", "bert"])
def test_what_was_saved_says_the_same_again_and_decides_by_its_thresholds(walked, road):
    predictor, test = walked[road], walked["parts"].test
    np.testing.assert_allclose(predictor.predict_proba(test["comment_text"]), walked[f"{road}_said"], atol=1e-4)
    tags = predictor.predict(["Wo ist Rose und Topf sofort?"])
    assert list(tags.columns) == ["Garten", "Küche", "eilig"]
    assert any(threshold != 0.5 for threshold in predictor.thresholds.values())
