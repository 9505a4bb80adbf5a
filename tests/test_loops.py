import os
import re
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from loop_run import data, parts, run
from scipy import sparse
from torch import nn

from helpers import loaders, loops, losses, models
from helpers.loops import training
from helpers.loops.checkpoints import load_last
from helpers.metrics.classification import mean_head_auc

SCRIPT = Path(__file__).with_name("loop_run.py")
BCE = nn.functional.binary_cross_entropy_with_logits


def weights(model):
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def assert_identical(one, other):
    assert one.keys() == other.keys()
    for name in one:
        assert torch.equal(one[name], other[name]), name


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    training, model = run(tmp_path_factory.mktemp("undisturbed"))
    return training, weights(model)


@pytest.mark.parametrize("die_after", [1, 7, 10, 25, 39])
def test_a_run_killed_at_any_step_and_resumed_ends_with_the_same_bits(die_after, tmp_path, undisturbed):
    done = subprocess.run([sys.executable, str(SCRIPT), str(tmp_path), "--die-after", str(die_after)])
    assert done.returncode == -signal.SIGKILL
    training, model = run(tmp_path)
    assert_identical(weights(model), undisturbed[1])
    columns = ["train_loss", "valid_loss", "valid_auc", "lr"]
    pd.testing.assert_frame_equal(training.history[columns], undisturbed[0].history[columns], check_exact=True)
    assert training.best_epoch == undisturbed[0].best_epoch


def test_ctrl_c_keeps_history_and_checkpoint_and_the_run_goes_on(tmp_path, undisturbed):
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), str(tmp_path), "--slow"], stdout=subprocess.PIPE, text=True
    )
    for _ in range(14):
        process.stdout.readline()
    os.kill(process.pid, signal.SIGINT)
    said = process.communicate(timeout=60)[0]
    assert "ended: interrupted" in said
    assert process.returncode == 0
    training, model = run(tmp_path)
    assert training.ended == "epochs"
    assert_identical(weights(model), undisturbed[1])


def test_the_loop_equals_one_written_by_hand():
    given = parts()
    model, optimizer, schedule = given["model"], given["optimizer"], given["scheduler"]
    for _ in range(2):  # each iteration of the loader is the next epoch
        model.train()
        for inputs, labels in given["train"]:
            optimizer.zero_grad()
            BCE(model(**inputs), labels).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    _, fitted = run(epochs=2)
    assert_identical(weights(fitted), weights(model))


def test_it_learns_and_tells():
    training, _ = run(epochs=12)
    history = training.history
    assert list(history.columns) == ["train_loss", "valid_loss", "valid_auc", "lr", "seconds", "rows_per_s"]
    assert history.index.tolist() == list(range(1, 13))
    assert history["train_loss"].iloc[-1] < 0.8 * history["train_loss"].iloc[0]
    assert training.ended == "epochs"


def test_accumulated_batches_make_the_step_of_one_large_batch_unknown_labels_or_not():
    counts, labels = data()
    labels[::3, 1] = np.nan
    labels[:40, 0] = np.nan

    def masked(logits, targets):
        is_known = targets.isfinite()
        return BCE(logits[is_known], targets[is_known])

    results = []
    for batch_size, accumulate in ((40, 1), (10, 4)):
        torch.manual_seed(0)
        model = models.CountMLP(counts.shape[1], 3, hidden=(16, 8), dropout=0.0)
        loader = loaders.sparse_loader(counts, labels, batch_size=batch_size, shuffle=True)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
        options = {"loss": masked, "optimizer": optimizer, "epochs": 2, "accumulate": accumulate, "progress": False}
        training = loops.fit(model, loader, **options)
        results.append((weights(model), training.history["train_loss"]))
    for name, tensor in results[0][0].items():
        torch.testing.assert_close(tensor, results[1][0][name], atol=1e-6, rtol=1e-5)


def test_early_stopping_keeps_the_best_weights(tmp_path):
    given = parts()
    given["optimizer"] = torch.optim.SGD(given["model"].parameters(), lr=1e-30)  # no weight moves
    given["scheduler"] = None
    given["model"].eval()
    training = loops.fit(**given, epochs=50, patience=2, folder=tmp_path, progress=False)
    best = training.history["valid_loss"].idxmin()
    assert training.ended == "patience"
    assert training.best_epoch == best
    assert len(training.rows) == best + 2
    fresh = parts()["model"]
    loops.load_best(tmp_path, fresh)
    assert loops.evaluate(fresh, given["valid"], loss=BCE)["loss"] == pytest.approx(
        training.history["valid_loss"].min()
    )


def test_a_loss_that_is_not_finite_names_the_batch_and_leaves_the_checkpoint(tmp_path):
    steps = 0

    def loss(logits, labels):
        nonlocal steps
        steps += 1
        return BCE(logits, labels) * (float("nan") if steps == 15 else 1.0)

    with pytest.raises(loops.LossError, match="the loss is nan at epoch 2, batch 4"):
        run(tmp_path, loss=loss)
    saved = load_last(tmp_path)
    assert saved["state"]["epoch"] == 1
    assert len(saved["state"]["rows"]) == 1


def test_evaluate_sums_and_divides_once():
    given = parts()
    counts, labels = data(1)
    small = loaders.sparse_loader(counts, labels, batch_size=7)
    large = loaders.sparse_loader(counts, labels, batch_size=160)
    scores = [loops.evaluate(given["model"], loader, loss=BCE) for loader in (small, large)]
    assert scores[0]["loss"] == pytest.approx(scores[1]["loss"], rel=1e-6)
    assert scores[0]["auc"] == pytest.approx(scores[1]["auc"])
    assert given["model"].training


def test_predict_gives_probabilities_in_the_rows_order():
    given = parts()
    counts, labels = data(1)
    shown = loops.predict_proba(given["model"], loaders.sparse_loader(counts, labels, batch_size=7))
    dense = torch.tensor(counts.toarray(), dtype=torch.float32)
    expected = torch.sigmoid(given["model"].eval()(dense)).detach().numpy()
    np.testing.assert_allclose(shown, expected, atol=1e-6)
    shuffled = loaders.sparse_loader(counts, labels, batch_size=7, shuffle=True)
    np.testing.assert_allclose(loops.predict_proba(given["model"], shuffled), expected, atol=1e-6)


def test_a_damaged_checkpoint_and_one_of_another_model_are_refused_by_name(tmp_path):
    run(tmp_path, epochs=1)
    content = (tmp_path / "last.pt").read_bytes()
    other = parts() | {"model": models.CountMLP(40, 3, hidden=(9, 8, 8))}
    other["optimizer"] = torch.optim.Adam(other["model"].parameters(), lr=0.01)
    other["scheduler"] = torch.optim.lr_scheduler.LambdaLR(other["optimizer"], lambda step: 1.0)
    with pytest.raises(loops.CheckpointError, match=r"last\.pt: weights of another model"):
        loops.fit(**other, epochs=2, folder=tmp_path, progress=False)
    (tmp_path / "last.pt").write_bytes(content[: len(content) // 2])
    with pytest.raises(loops.CheckpointError, match=r"last\.pt: not a whole checkpoint .* delete it to begin anew"):
        run(tmp_path)
    (tmp_path / "best.safetensors").write_bytes(b"no weights")
    with pytest.raises(loops.CheckpointError, match=r"best\.safetensors: no whole weights"):
        loops.load_best(tmp_path, parts()["model"])


def test_a_second_run_over_a_finished_one_changes_nothing(tmp_path, undisturbed):
    run(tmp_path)
    training, model = run(tmp_path)
    assert_identical(weights(model), undisturbed[1])
    assert len(training.rows) == 4


def test_the_bar_shows_loss_rate_and_speed(capsys):
    run(epochs=1, progress=True, batch_size=8)
    said = capsys.readouterr().err
    assert "epoch 1" in said
    assert "lr" in said
    assert "rows/s" in said


def test_one_bar_serves_all_epochs(monkeypatch, capsys):
    made = []

    class Bar(training.tqdm):
        def __init__(self, *args, **options):
            made.append(self)
            super().__init__(*args, mininterval=0, **options)

    monkeypatch.setattr(training, "tqdm", Bar)
    run(epochs=3, progress=True, batch_size=8)
    assert len(made) == 1
    said = capsys.readouterr().err
    for epoch in (1, 2, 3):
        drawn = re.findall(rf"epoch {epoch}: +(\d+)%", said)
        assert "100" in drawn and drawn.count("100") < len(drawn), "each epoch begins anew"


@pytest.mark.filterwarnings("ignore:mean_auc leaves out:UserWarning")
def test_an_epoch_without_a_score_is_never_the_best(tmp_path):
    given = parts()
    counts, labels = data(1)
    given["valid"] = loaders.sparse_loader(counts, np.zeros_like(labels))
    training = loops.fit(**given, epochs=2, monitor="valid_auc", folder=tmp_path, progress=False)
    assert training.history["valid_auc"].isna().all()
    assert training.best_epoch is None
    assert not (tmp_path / "best.safetensors").exists()


def head_parts(seed=0):
    torch.manual_seed(seed)
    features = torch.randn(300, 12)
    labels = torch.stack([features[:, 0] > 0, features[:, 1:4].argmax(dim=1)], dim=1).float()
    labels[::7, 0] = torch.nan
    model = models.MultiHead(heads={"yes": 1, "which": 3})
    return model, {"features": features}, labels


def test_a_model_with_heads_is_trained_and_scored_by_the_same_loop():
    model, inputs, labels = head_parts()
    train = loaders.array_loader(inputs, labels, batch_size=32, shuffle=True)
    valid = loaders.array_loader(inputs, labels, batch_size=128)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    options = {"loss": losses.multi_head, "optimizer": optimizer, "valid": valid, "progress": False}
    history = loops.fit(model, train, epochs=15, **options).history
    assert history["valid_loss"].iloc[-1] < 0.6 * history["valid_loss"].iloc[0]
    assert history["valid_auc"].iloc[-1] > 0.95
    probabilities = loops.predict_proba(model, valid)
    assert {name: found.shape for name, found in probabilities.items()} == {"yes": (300, 1), "which": (300, 3)}
    assert loops.evaluate(model, valid, loss=losses.multi_head)["auc"] == pytest.approx(
        mean_head_auc(labels, probabilities)
    )
    decided = loops.predict(model, valid, threshold={"yes": 0.3})
    np.testing.assert_array_equal(decided["yes"], probabilities["yes"][:, 0] >= 0.3)
    np.testing.assert_array_equal(decided["which"], probabilities["which"].argmax(axis=1))
    whole = loops.predict(model, train)
    np.testing.assert_array_equal(whole["yes"], loops.predict_proba(model, train)["yes"][:, 0] >= 0.5)


def test_a_model_without_heads_decides_by_thresholds():
    loader = loaders.array_loader({"input": torch.randn(50, 12)}, torch.zeros(50, 2), shuffle=True)
    model = torch.nn.Linear(12, 2)
    probabilities = loops.predict_proba(model, loader)
    np.testing.assert_array_equal(loops.predict(model, loader), probabilities >= 0.5)
    decisions = loops.predict(model, loader, threshold=[0.3, np.inf])
    assert decisions.dtype == np.int8
    np.testing.assert_array_equal(decisions, probabilities >= [0.3, np.inf])
    for threshold in ({"yes": 0.5}, [0.1, 0.2, 0.3], -1, np.nan):
        with pytest.raises(ValueError, match="threshold"):
            loops.predict(model, loader, threshold=threshold)


def test_the_loss_of_heads_is_summed_over_batches_once():
    model, inputs, labels = head_parts()
    small = loaders.array_loader(inputs, labels, batch_size=7)
    whole = losses.multi_head(model(**inputs), labels).item()
    assert loops.evaluate(model, small, loss=losses.multi_head)["loss"] == pytest.approx(whole, rel=1e-5)


def test_batches_with_unknown_labels_accumulate_to_the_large_batch():
    weights = []
    for batch_size, accumulate in ((8, 4), (32, 1)):
        model, inputs, labels = head_parts()
        labels[torch.rand(labels.shape, generator=torch.Generator().manual_seed(1)) < 0.5] = torch.nan
        loader = loaders.array_loader(inputs, labels, batch_size=batch_size)
        loss = partial(losses.multi_head, reduction="entries")
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        options = {"loss": loss, "optimizer": optimizer, "accumulate": accumulate, "progress": False}
        loops.fit(model, loader, epochs=1, **options)
        weights.append([weight.detach() for weight in model.parameters()])
    for one, other in zip(*weights, strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=1e-5)


def test_minus_one_is_unknown_to_the_loop_too():
    counts = sparse.random(40, 30, density=0.3, format="csr", random_state=0)
    labels = np.column_stack([np.arange(40) % 2, np.arange(40) % 3]).astype(float)
    missing = np.arange(80).reshape(40, 2) % 7 == 0
    found = []
    for unknown in (-1, np.nan):
        torch.manual_seed(0)
        model = models.MultiHead(models.CountMLP(30, None, hidden=(8,)), heads={"yes": 1, "which": 3})
        table = loaders.sparse_loader(counts, np.where(missing, unknown, labels), batch_size=16)
        optimizer = torch.optim.Adam(model.parameters())
        options = {"loss": losses.multi_head, "optimizer": optimizer, "progress": False}
        done = loops.fit(model, table, valid=table, epochs=2, **options)
        found.append(done.history[["train_loss", "valid_loss", "valid_auc"]])
    pd.testing.assert_frame_equal(*found)


def test_callbacks_see_each_epochs_row_after_its_checkpoint(tmp_path):
    seen = []

    def note(row):
        saved = load_last(tmp_path)["state"]["epoch"]
        seen.append((row["epoch"], saved, sorted(row)))
        row.clear()  # a copy: the history stays whole

    training = loops.fit(**parts(), epochs=2, folder=tmp_path, progress=False, callbacks=[note])
    columns = ["epoch", "lr", "rows_per_s", "seconds", "train_loss", "valid_auc", "valid_loss"]
    assert seen == [(1, 1, columns), (2, 2, columns)]
    assert len(training.history) == 2
    loops.fit(**parts(), epochs=2, folder=tmp_path, progress=False, callbacks=[note])
    assert len(seen) == 2, "a finished run is read back"


def test_an_error_in_a_callback_ends_a_run_that_can_be_resumed(tmp_path):
    def fail(row):
        raise OSError("no route to the dashboard")

    with pytest.raises(OSError, match="dashboard"):
        loops.fit(**parts(), epochs=2, folder=tmp_path, progress=False, callbacks=[fail])
    training = loops.fit(**parts(), epochs=2, folder=tmp_path, progress=False)
    assert list(training.history.index) == [1, 2]


@pytest.mark.parametrize("callbacks", [print, "print", [None], 3])
def test_what_is_no_list_of_functions_is_refused(callbacks):
    with pytest.raises(ValueError, match="callbacks"):
        loops.fit(**parts(), epochs=1, progress=False, callbacks=callbacks)
