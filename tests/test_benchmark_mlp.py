"""What benchmarks/mlp.py compares is the same net: the tutorial's dense way and ours over sparse rows."""

import mlp
import numpy as np
import pytest
import torch
from scipy import sparse

from helpers import loops


@pytest.fixture
def table():
    rng = np.random.default_rng(0)
    counts = sparse.csr_array(rng.poisson(0.2, (640, 50)))
    labels = (counts.toarray() @ rng.normal(size=(50, 6)) > 1).astype(np.float32)
    return counts, labels


def dense(inputs, counts):
    ends = [*inputs["offsets"].tolist(), len(inputs["indices"])]
    rows = sparse.csr_array((inputs["values"].numpy(), inputs["indices"].numpy(), ends), (len(ends) - 1, counts))
    return torch.from_numpy(rows.toarray())


def test_the_tutorials_dense_loop_and_ours_lose_the_same_on_the_same_batches(table):
    run = mlp.tutorial_run(*table)
    network = mlp.tutorial_network(50, 6)
    network[0].weight.data, network[0].bias.data = run["model"].words.data.T.clone(), run["model"].bias.data.clone()
    layers = run["model"].layers.state_dict().values()
    network[1:-1].load_state_dict(dict(zip(network[1:-1].state_dict(), layers, strict=True)))
    batches = [(dense(inputs, 50), labels) for inputs, labels in run["train"]]
    torch.manual_seed(1)
    theirs = torch.stack(mlp.tutorial_epoch(network, mlp.tutorial_optimizer(network), batches))
    torch.manual_seed(1)
    ours = []
    loss = run["loss"]
    run["loss"] = lambda logits, targets: ours.append(loss(logits, targets)) or ours[-1]
    loops.fit(**run, epochs=1)
    assert len(theirs) == 10
    torch.testing.assert_close(torch.stack(ours).detach(), theirs, atol=1e-5, rtol=0)
    for own, other in zip(run["model"].layers.parameters(), network[1:-1].parameters(), strict=True):
        torch.testing.assert_close(own, other, atol=1e-4, rtol=0)


def test_the_bare_loop_does_the_steps_of_ours(table):
    weights = []
    for way in (mlp.bare_training, mlp.fit_training):
        run = mlp.course_run(*table, epochs=1) | {"scheduler": None}
        way(run)()
        weights.append(run["model"].words.detach())
    assert torch.equal(*weights)


def test_a_worse_score_is_not_recorded_but_an_error(table, monkeypatch):
    role = np.repeat(["train", "valid"], 320)
    records = []
    monkeypatch.setattr(mlp, "SPEED_ROWS", 64)
    monkeypatch.setattr(mlp, "record", lambda name, *_, **__: records.append(name))
    monkeypatch.setattr(mlp, "valid_auc", lambda table, epochs: {"course": 0.97, "tutorial": 0.98})
    with pytest.raises(SystemExit, match=r"not recorded: .*score worse"):
        mlp.record_speed(mlp.Table(*table, role), 1, 1, ["mlp.sparse_vs_dense_b64", "mlp.course_vs_tutorial"])
    assert records == ["mlp.sparse_vs_dense_b64"]
    monkeypatch.setattr(mlp, "valid_auc", lambda table, epochs: {"course": 0.98, "tutorial": 0.98})
    mlp.record_speed(mlp.Table(*table, role), 1, 1, ["mlp.course_vs_tutorial"])
    assert records[1:] == ["mlp.course_vs_tutorial"]
