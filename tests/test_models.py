import numpy as np
import pytest
import torch
from scipy import sparse
from torch import nn

from helpers import models
from helpers.loaders.batches import SparseRows


def sparse_rows(rows=7, features=30, seed=0):
    matrix = sparse.random(rows, features, density=0.2, format="lil", random_state=seed)
    matrix[2] = 0
    matrix = matrix.tocsr()
    matrix.data = np.ceil(matrix.data * 4)
    return matrix


def test_sparse_rows_give_what_dense_rows_give_gradients_too():
    torch.manual_seed(0)
    counts = sparse_rows()
    model = models.CountMLP(30, 4, dropout=0.0)
    inputs, _ = SparseRows(counts, np.zeros((7, 4))).__getitems__(range(7))
    grads = []
    for given in (inputs, {"counts": torch.tensor(counts.toarray(), dtype=torch.float32)}):
        model.zero_grad()
        logits = model(**given)
        (logits**2).mean().backward()
        grads.append((logits.detach(), [p.grad.clone() for p in model.parameters()]))
    torch.testing.assert_close(grads[0][0], grads[1][0], atol=1e-5, rtol=0)
    for sparse_grad, dense_grad in zip(grads[0][1], grads[1][1], strict=True):
        torch.testing.assert_close(sparse_grad, dense_grad, atol=1e-5, rtol=1e-5)


def test_the_first_layer_equals_a_linear_layer():
    model = models.CountMLP(30, 4).eval()
    linear = nn.Linear(30, 256)
    linear.weight.data, linear.bias.data = model.words.data.T, model.bias.data
    counts = torch.tensor(sparse_rows().toarray(), dtype=torch.float32)
    torch.testing.assert_close(model(counts), model.layers(linear(counts)), atol=1e-5, rtol=0)


def test_the_topology_is_the_published_one():
    kinds = [type(layer).__name__ for layer in models.CountMLP(100, 6).layers]
    assert kinds == [
        *("ReLU", "Linear", "ReLU", "Dropout", "Linear", "ReLU", "BatchNorm1d", "Linear", "ReLU", "Linear"),
    ]
    widths = [layer.out_features for layer in models.CountMLP(100, 6).layers if isinstance(layer, nn.Linear)]
    assert widths == [128, 64, 32, 6]


def test_weights_are_glorots_and_biases_zero():
    torch.manual_seed(0)
    model = models.CountMLP(2000, 6)
    assert model.words.std().item() == pytest.approx((2 / (2000 + 256)) ** 0.5, rel=0.02)
    assert all((layer.bias == 0).all() for layer in model.layers if isinstance(layer, nn.Linear))


def test_logits_are_no_probabilities():
    torch.manual_seed(0)
    logits = models.CountMLP(30, 4).eval()(torch.randn(200, 30) * 20)
    assert logits.shape == (200, 4)
    assert logits.min() < 0
    assert logits.max() > 1


def test_any_number_of_layers():
    for hidden in ((8,), (8, 4), (8, 4, 4, 4, 4)):
        assert models.CountMLP(30, 3, hidden=hidden)(torch.ones(2, 30)).shape == (2, 3)


def test_word_dropout_drops_whole_words_in_training_only():
    torch.manual_seed(0)
    model = models.CountMLP(30, 3, hidden=(8,), dropout=0.0, word_dropout=0.5)
    counts = torch.ones(4000, 30)
    plain = models.CountMLP(30, 3, hidden=(8,), dropout=0.0)
    plain.load_state_dict(model.state_dict())
    indices, offsets = torch.arange(30).repeat(4000), torch.arange(0, 120_000, 30)
    ways = [{"counts": counts}, {"indices": indices, "offsets": offsets, "values": torch.ones(120_000)}]
    for inputs in ways:
        torch.testing.assert_close(model.eval()(**inputs), plain.eval()(counts), atol=1e-5, rtol=1e-5)
    first = []
    for inputs in ways:
        model.train().layers.register_forward_pre_hook(lambda _, sums: first.append(sums[0].detach()))
        model(**inputs)
    whole = model.words.sum(dim=0)
    for activations in first:
        torch.testing.assert_close(activations.mean(dim=0), whole, atol=0.05, rtol=0)
        expected = (model.words**2).sum(dim=0).sqrt()  # of a sum of words, each 0 or twice its row
        torch.testing.assert_close(activations.std(dim=0), expected, rtol=0.1, atol=0)


@pytest.mark.parametrize(
    "wrong",
    [
        {"hidden": ()},
        {"hidden": (0,)},
        {"hidden": 8},
        {"hidden": (8.5,)},
        {"dropout": 1.0},
        {"dropout": -0.1},
        {"dropout": np.nan},
        {"word_dropout": 1.0},
    ],
)
def test_impossible_sizes_are_refused(wrong):
    with pytest.raises(ValueError, match=rf"{next(iter(wrong))}.*: expected"):
        models.CountMLP(30, 3, **wrong)


def test_inputs_of_another_form_are_refused():
    model = models.CountMLP(30, 3)
    with pytest.raises(ValueError, match=r"counts have shape \(2, 31\), the model takes \(B, 30\)"):
        model(torch.ones(2, 31))
    with pytest.raises(ValueError, match="give either counts, or indices"):
        model()
    with pytest.raises(ValueError, match="give either counts, or indices"):
        model(indices=torch.tensor([1]))
