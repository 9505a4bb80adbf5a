"""benchmarks/honest_evaluation.py on drawn rows: what is learnt where, and what is recorded."""

import honest_evaluation as honest
import numpy as np
import pandas as pd
import pytest
from scipy.special import expit
from sklearn.metrics import f1_score, roc_auc_score

from helpers import evaluation

N_ROWS = 1_500


@pytest.fixture
def recorded(monkeypatch):
    """Rows, logits of two models, and what was recorded.

    On the validation rows the tagger is far the better, on the test rows the bag of words; and the test rows' logits
    lie higher. So whatever is learnt from the wrong rows comes out otherwise.
    """
    rng = np.random.default_rng(0)
    parts, said = {}, {name: {} for name in ("bert", "bag", "all")}
    for part, noise, shift in (("valid", (0.6, 1.5), 0.0), ("test", (1.5, 0.6), 1.5)):
        truth = (rng.random((N_ROWS, 6)) < 0.15).astype(int)
        parts[part] = pd.DataFrame(truth, columns=honest.LABELS).assign(id=[f"{part}{n}" for n in range(N_ROWS)])
        first, second = (2 * truth - 2 + level * rng.normal(size=truth.shape) + shift for level in noise)
        said["bert"][part], said["bag"][part] = 3 * first + 4, second
    said["all"]["test"] = said["bag"]["test"] + rng.normal(size=(N_ROWS, 6))
    found = {}
    monkeypatch.setattr(honest, "rows", lambda: parts)
    monkeypatch.setattr(honest, "logits", lambda tagger: said)
    monkeypatch.setattr(honest, "record", lambda name, value, **details: found.update({name: (value, details)}))
    return parts, said, found


def best_share(parts, said, part, bag="bag"):
    """The share with the highest mean AUC on some rows, by scikit-learn."""

    def score(share):
        mixed = share * said["bert"][part] + (1 - share) * said[bag][part]
        return roc_auc_score(parts[part][honest.LABELS], mixed)

    return max(np.linspace(0, 1, 21), key=score)


def blended(said, part, share, bag="bag"):
    return pd.DataFrame(expit(share * said["bert"][part] + (1 - share) * said[bag][part]), columns=honest.LABELS)


def test_the_blend_is_that_of_the_share_which_the_validation_rows_chose(recorded):
    parts, said, found = recorded
    honest.measure_blend("RUNS")
    value, details = found["jigsaw.blend_auc"]
    share = best_share(parts, said, "valid")
    assert abs(share - best_share(parts, said, "test")) > 0.2, "the wrong rows would choose otherwise"
    assert details["share_of_bert"] == share
    truth = parts["test"][honest.LABELS]
    assert value == pytest.approx(roc_auc_score(truth, blended(said, "test", share, bag="all")), abs=1e-9)
    assert details["same_rows"] == pytest.approx(roc_auc_score(truth, blended(said, "test", share)), abs=1e-5)
    assert details["bag"] == pytest.approx(roc_auc_score(truth, said["all"]["test"]), abs=1e-5)
    assert details["bert"] == pytest.approx(roc_auc_score(truth, said["bert"]["test"]), abs=1e-5)
    assert details["blend_over_bert_value"] == pytest.approx(value - details["bert"], abs=1e-4)
    assert details["low"] < value < details["high"]


def test_thresholds_are_those_of_the_validation_rows(recorded):
    parts, said, found = recorded
    honest.measure_threshold_gain("RUNS")
    value, details = found["eval.threshold_gain"]
    share = best_share(parts, said, "valid")
    here, there = (blended(said, part, share) for part in ("valid", "test"))
    truth = parts["test"][honest.LABELS]
    right, wrong = (
        evaluation.tune_thresholds(parts[part][honest.LABELS], p)["threshold"]
        for part, p in (("valid", here), ("test", there))
    )
    assert (right - wrong).abs().min() > 0.01, "the wrong rows would choose otherwise"
    for label in honest.LABELS:
        assert details[f"{label}_threshold"] == pytest.approx(right[label], abs=1e-5)
    tuned = f1_score(truth, there.ge(right), average="macro")
    at_half = f1_score(truth, there.ge(0.5), average="macro")
    assert (details["tuned"], details["at_half"]) == pytest.approx((tuned, at_half), abs=1e-5)
    assert value == pytest.approx(tuned - at_half, abs=1e-9)
    assert details["claimed"] == pytest.approx(f1_score(truth, there.ge(wrong), average="macro"), abs=1e-5)


def test_calibration_is_fitted_on_the_validation_rows(recorded):
    parts, said, found = recorded
    honest.measure_calibration("RUNS")
    value, details = found["eval.calibration_ratio"]
    share, truth = best_share(parts, said, "valid"), parts["test"][honest.LABELS]
    here, there = (blended(said, part, share) for part in ("valid", "test"))
    known = parts["valid"][honest.LABELS]
    after = evaluation.fit_calibration(known, here, method=details["blend_method"]).apply(there)
    errors = [evaluation.calibration_error(truth, p).mean() for p in (there, after)]
    assert value == pytest.approx(errors[1] / errors[0], abs=1e-9)
    assert (details["blend_before"], details["blend_after"]) == pytest.approx(errors, abs=1e-5)
    assert value > 0.3, "what was fitted to other rows cannot mend the shift"
    assert details["change_low"] < details["change_value"] < details["change_high"]


def test_the_worst_group_is_recorded_and_none_is_named(recorded):
    parts, said, found = recorded
    rng = np.random.default_rng(1)
    toxic, group = rng.integers(0, 2, 600), rng.permutation(["kind", "cruel", "quiet"] * 200)
    parts["identity"] = pd.DataFrame({"toxic": toxic, "group": group})
    logits = (3 * toxic + 3 * (group == "quiet") - 2 + rng.normal(size=600))[:, None].repeat(6, axis=1)
    said["bert"]["identity"] = said["bag"]["identity"] = logits
    honest.measure_identity_bias("RUNS")
    value, details = found["eval.identity_bias"]
    rows = ((group != "quiet") & (toxic == 1)) | ((group == "quiet") & (toxic == 0))
    assert value == pytest.approx(roc_auc_score(toxic[rows], logits[rows, 0]), abs=1e-9)
    assert not any("quiet" in str(part) for part in details.items())


def test_what_the_models_said_is_kept_for_the_same_weights_and_rows_only(recorded, monkeypatch, tmp_path):
    parts, _, _ = recorded
    for part in ("valid", "test"):
        parts[part]["comment_text"] = [f"{part} {n}" for n in range(N_ROWS)]
    parts["train"] = parts["valid"]
    monkeypatch.undo()
    asked = []
    monkeypatch.setattr(honest, "rows", lambda: parts)
    monkeypatch.setattr(honest, "winner", lambda: "words")
    monkeypatch.setattr(honest, "read_all", lambda *_: asked.append(1) or {"bert_valid": np.full(2, len(asked))})
    for weights, calls in ((b"first", 1), (b"first", 1), (b"second", 2)):
        (tmp_path / "last.pt").write_bytes(weights)
        honest.logits.cache_clear()
        assert honest.logits(str(tmp_path))["bert"]["valid"].tolist() == [calls, calls]
    parts["test"]["comment_text"] = "other"
    honest.logits.cache_clear()
    assert honest.logits(str(tmp_path))["bert"]["valid"].tolist() == [3, 3]
    assert not list(tmp_path.glob("*.part*"))


def test_without_a_tagger_only_what_needs_none_is_measured(monkeypatch, capsys):
    measured = []
    figures = {name: lambda _, name=name: measured.append(name) for name in honest.FIGURES}
    monkeypatch.setattr(honest, "FIGURES", figures)
    monkeypatch.setattr("sys.argv", ["honest_evaluation.py"])
    honest.main()
    assert measured == ["eval.threshold_seconds", "eval.bootstrap_ratio"]
    assert "RUNS/cycle2" in capsys.readouterr().out
    monkeypatch.setattr("sys.argv", ["honest_evaluation.py", "--only", "jigsaw.blend_auc"])
    with pytest.raises(SystemExit):
        honest.main()
