"""Networks that give logits; none applies a sigmoid or a softmax."""

from collections.abc import Sequence

import torch
import torch.nn.functional as nnf
from torch import Tensor, nn


class CountMLP(nn.Module):
    """A multilayer perceptron over word counts, whose first layer never sees a dense row.

    The topology of the published tutorial: linear layers with ReLU, dropout after the second, batch norm after the
    third, weights drawn from Glorot's normal distribution, biases zero. The first layer is a table with one row a word:
    a comment's first activation is the sum of its words' rows, each times its count. That is the dense product without
    the zeros (`torch.nn.functional.embedding_bag`).

    Args:
        n_features: size of the vocabulary.
        n_labels: number of labels, L.
        hidden: widths of the hidden layers.
        dropout: probability that an activation is dropped.

    Raises:
        ValueError: a width below 1, no hidden layer, or a probability out of range.
    """

    def __init__(
        self,
        n_features: int,
        n_labels: int,
        *,
        hidden: Sequence[int] = (256, 128, 64, 32),
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        if not hidden or min(n_features, n_labels, *hidden) < 1:
            raise ValueError(
                f"n_features={n_features}, n_labels={n_labels}, hidden={tuple(hidden)}: all must be 1 or more"
            )
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout={dropout} is not from 0 to below 1")
        self.words = nn.Parameter(torch.empty(n_features, hidden[0]))
        self.bias = nn.Parameter(torch.zeros(hidden[0]))
        layers: list[nn.Module] = [nn.ReLU()]
        for place, (width, following) in enumerate(zip(hidden, [*hidden[1:], n_labels], strict=True), start=1):
            layers += [nn.Dropout(dropout)] if place == 2 else []
            layers += [nn.BatchNorm1d(width)] if place == 3 else []
            layers += [nn.Linear(width, following), nn.ReLU()]
        self.layers = nn.Sequential(*layers[:-1])
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
        """Logits (B, L), from dense counts or from sparse rows.

        Args:
            counts: (B, n_features), or None when the rows are sparse.
            indices: (nnz,) word numbers of all rows, one row after the other.
            offsets: (B,) where each row begins in `indices`.
            values: (nnz,) count of each word.

        Raises:
            ValueError: neither or both forms are given, or `counts` has another width.
        """
        sparse = (indices, offsets, values)
        if (counts is None) == any(part is None for part in sparse):
            raise ValueError("give either counts, or indices, offsets and values")
        if counts is None:
            first = nnf.embedding_bag(indices, self.words, offsets, mode="sum", per_sample_weights=values)
        elif counts.ndim != 2 or counts.shape[1] != len(self.words):
            raise ValueError(f"counts have shape {tuple(counts.shape)}, the model takes (B, {len(self.words)})")
        else:
            first = counts @ self.words
        return self.layers(first + self.bias)
