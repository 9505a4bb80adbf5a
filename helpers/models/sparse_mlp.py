"""Networks over word counts, and the sparse product that makes them fast."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as nnf
from scipy import sparse as sp
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from helpers.arguments import check_count, check_number
from helpers.models.backbones import check_widths


class CountMLP(nn.Module):
    """A multilayer perceptron over word counts, whose first layer never sees a dense row.

    The topology of the published tutorial: linear layers with ReLU, dropout after the second, batch norm after the
    third, weights drawn from Glorot's normal distribution, biases zero. The first layer is a table with one row a word:
    a comment's first activation is the sum of its words' rows, each times its count. That is the dense product without
    the zeros (`torch.nn.functional.embedding_bag`).

    Args:
        n_features: size of the vocabulary.
        n_labels: number of labels, L; None leaves the last layer out: the model gives the last hidden activations
            (B, width) instead of logits, for the heads of `MultiHead`.
        hidden: widths of the hidden layers.
        dropout: probability that an activation is dropped.
        word_dropout: probability that a word of a comment is dropped in training, the others' counts scaled up to make
            up for it (Iyyer et al. 2015, Deep Unordered Composition). The tutorial has none.

    Raises:
        ValueError: a width below 1, no hidden layer, or a probability out of range.

    Examples:
        >>> import torch
        >>> from sklearn.feature_extraction.text import CountVectorizer
        >>> from helpers import loaders, models, text
        >>> vectorizer = CountVectorizer(tokenizer=text.tokens, token_pattern=None)
        >>> counts = vectorizer.fit_transform(["you fool", "you are kind", "what a day"])
        >>> model = models.CountMLP(counts.shape[1], n_labels=2)
        >>> inputs, labels = next(iter(loaders.sparse_loader(counts, [[1, 0], [0, 0], [0, 1]])))
        >>> model(**inputs).shape  # logits, from sparse rows
        torch.Size([3, 2])
        >>> model(counts=torch.tensor(counts.toarray(), dtype=torch.float32)).shape  # from dense ones
        torch.Size([3, 2])
    """

    def __init__(
        self,
        n_features: int,
        n_labels: int | None,
        *,
        hidden: Sequence[int] = (256, 128, 64, 32),
        dropout: float = 0.3,
        word_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        widths = check_widths(hidden)
        dropout = check_number("dropout", dropout, at_least=0, below=1)
        self.word_dropout = check_number("word_dropout", word_dropout, at_least=0, below=1)
        self.words = nn.Parameter(torch.empty(check_count("n_features", n_features), widths[0]))
        self.bias = nn.Parameter(torch.zeros(widths[0]))
        layers: list[nn.Module] = [nn.ReLU()]
        for index, width in enumerate(widths[1:], start=1):
            layers += [nn.Linear(widths[index - 1], width), nn.ReLU()]
            layers += [nn.Dropout(dropout)] if index == 1 else [nn.BatchNorm1d(width)] if index == 2 else []
        if n_labels is None:
            self.width = widths[-1]
        else:
            layers.append(nn.Linear(widths[-1], check_count("n_labels", n_labels)))
        self.layers = nn.Sequential(*layers)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw all weights anew (Glorot and Bengio 2010, normal form); biases become zero."""
        nn.init.xavier_normal_(self.words)
        nn.init.zeros_(self.bias)
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                nn.init.xavier_normal_(layer.weight)
                nn.init.zeros_(layer.bias)

    def forward(
        self,
        counts: Tensor | None = None,
        *,
        indices: Tensor | None = None,
        offsets: Tensor | None = None,
        values: Tensor | None = None,
    ) -> Tensor:
        """Logits (B, L), or activations (B, width), from dense counts or from sparse rows.

        Args:
            counts: (B, n_features), or None when the rows are sparse.
            indices: (nnz,) word numbers of all rows, one row after the other.
            offsets: (B,) where each row begins in `indices`.
            values: (nnz,) count of each word.

        Raises:
            ValueError: neither or both forms are given, or `counts` has another width.
        """
        if counts is None and indices is not None and offsets is not None and values is not None:
            values = nnf.dropout(values, self.word_dropout, self.training)
            first = sparse_product(indices, offsets, values, self.words)
        elif counts is None or any(part is not None for part in (indices, offsets, values)):
            raise ValueError("give either counts, or indices, offsets and values")
        elif counts.ndim != 2 or counts.shape[1] != len(self.words):
            raise ValueError(f"counts have shape {tuple(counts.shape)}, the model takes (B, {len(self.words)})")
        else:
            first = nnf.dropout(counts, self.word_dropout, self.training) @ self.words
        return self.layers(first + self.bias)


def sparse_product(indices: Tensor, offsets: Tensor, values: Tensor, weight: Tensor) -> Tensor:
    """Sparse rows times a dense matrix, `rows @ weight`, gradient for `weight` only; no row is made dense.

    Args:
        indices: (nnz,) column numbers of all rows, one row after the other.
        offsets: (B,) where each row begins in `indices`.
        values: (nnz,) the entries.
        weight: (F, H).

    Returns:
        (B, H).

    Examples:
        >>> import torch
        >>> from helpers.models.sparse_mlp import sparse_product
        >>> weight = torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
        >>> indices, values = torch.tensor([0, 2, 1]), torch.tensor([1.0, 2.0, 5.0])
        >>> sparse_product(indices, torch.tensor([0, 2]), values, weight)  # the second row begins at place 2
        tensor([[  7.,  70.],
                [ 10., 100.]])
    """
    if weight.device.type == "cpu":
        return _SparseProduct.apply(indices, offsets, values, weight)
    return nnf.embedding_bag(indices, weight, offsets, mode="sum", per_sample_weights=values)


class _SparseProduct(torch.autograd.Function):
    """On the CPU, torch's own backward of `embedding_bag` takes several times as long as its forward.

    The gradient of a word is the sum of the gradients of the rows in which it stands, each times its count: the same
    operation over the transposed rows, and as fast.
    """

    @staticmethod
    def forward(ctx: Any, indices: Tensor, offsets: Tensor, values: Tensor, weight: Tensor) -> Tensor:  # noqa: ANN401
        ctx.save_for_backward(indices, offsets, values)
        ctx.shape = weight.shape
        return nnf.embedding_bag(indices, weight, offsets, mode="sum", per_sample_weights=values)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[None, None, None, Tensor]:  # noqa: ANN401
        indices, offsets, values = (part.numpy() for part in ctx.saved_tensors)
        ends = np.append(offsets, offsets.dtype.type(len(indices)))
        by_word = sp.csr_array((values, indices, ends), shape=(len(offsets), ctx.shape[0])).tocsc()
        rows, starts, counts = map(torch.from_numpy, (by_word.indices, by_word.indptr[:-1], by_word.data))
        sums = nnf.embedding_bag(rows, grad.contiguous(), starts, mode="sum", per_sample_weights=counts)
        return None, None, None, sums
