"""Token ids: made in batches, kept ragged, padded no further than their batch."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal
from unittest import mock

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor
from torch.utils.data import DataLoader

from helpers.arguments import check_choice, check_count
from helpers.loaders.batches import Rows, as_targets, loader_of
from helpers.loaders.row_order import Batch, EpochBatchSampler, LengthBatchSampler
from helpers.tagger_settings import checked_reading
from helpers.text import as_texts, mostly_unknown, unknown_words, warn_of_unknown

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Tokens:
    """Token ids of N texts in W windows (W = N unless long texts were split), concatenated, without padding.

    Attributes:
        ids: (total,) int32, special tokens included.
        offsets: (W + 1,) int64, window w is `ids[offsets[w]:offsets[w + 1]]`.
        text: (W,) int64, the number of the text that a window belongs to, ascending.
        n_texts: N.
        pad_id: what to pad with.
        truncated: (N,) bool, whether a text lost its end, or its beginning where the tail was kept.

    Examples:
        >>> from helpers import loaders, text
        >>> tokens = loaders.tokenize(["You are kind.", "Go!"], text.load_tokenizer())
        >>> tokens.lengths.tolist(), tokens.n_texts, tokens.cut
        ([6, 4], 2, 0)
    """

    ids: np.ndarray
    offsets: np.ndarray
    text: np.ndarray
    n_texts: int
    pad_id: int
    truncated: np.ndarray

    @property
    def cut(self) -> int:
        """Number of texts that lost their end, or their beginning where the tail was kept."""
        return int(np.sum(self.truncated))

    @property
    def lengths(self) -> np.ndarray:
        """(W,) tokens of each window."""
        return np.diff(self.offsets)


def tokenize(
    texts: Iterable[str],
    tokenizer: "PreTrainedTokenizerBase",
    *,
    max_length: int = 128,
    keep: Literal["head", "tail"] = "head",
    windows: bool = False,
    overlap: int = 32,
    batch_size: int = 1000,
) -> Tokens:
    """Split texts into token ids, a thousand texts per call, several times as fast as one by one.

    Warns when most words of texts are unknown to the tokenizer ([UNK]), as in a script that its vocabulary lacks.

    Args:
        texts: N texts, whatever `text.as_texts` takes (a list, a Series, a generator).
        tokenizer: a fast one, as `models.load_encoder` or `text.load_tokenizer` gives it.
        max_length: of a window, the special tokens included.
        keep: what is left of a text that is truncated: its `head`, or its `tail`, where reviewers give their verdict
            (Sun et al. 2019, How to Fine-Tune BERT for Text Classification).
        windows: split longer texts into overlapping windows, which lose nothing; False truncates them.
        overlap: tokens that neighbouring windows share.
        batch_size: texts per call.

    Raises:
        ValueError: texts as in `text.as_texts`, or none; a slow tokenizer; a `max_length` that leaves no room for words
            or is beyond what the tokenizer says its encoder reads; an overlap as long as a window; another `keep`;
            `keep="tail"` with windows.

    Examples:
        >>> from helpers import loaders, text
        >>> tokenizer = text.load_tokenizer()
        >>> loaders.tokenize(["Go away, please!", "Hi"], tokenizer).lengths.tolist()  # with [CLS] and [SEP]
        [7, 3]
        >>> loaders.tokenize(["Go away, please!", "Hi"], tokenizer, max_length=5).cut
        1
        >>> split = loaders.tokenize(["Go away, please!", "Hi"], tokenizer, max_length=5, windows=True, overlap=1)
        >>> split.text.tolist()  # which text each window is of
        [0, 0, 1]
    """
    texts = as_texts(texts, allow_empty=False)
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(f"{type(tokenizer).__name__} is no fast tokenizer: AutoTokenizer.from_pretrained gives one")
    reading: dict[str, Any] = {"max_length": max_length, "keep": keep, "windows": windows, "overlap": overlap}
    reading |= {"longest": tokenizer.model_max_length, "special_tokens": tokenizer.num_special_tokens_to_add()}
    checked_reading(**reading, window_pooling="max")
    check_count("batch_size", batch_size)
    options = {"truncation": True, "max_length": max_length, "stride": overlap if windows else 0}
    options |= {"return_attention_mask": False, "return_token_type_ids": False, "return_overflowing_tokens": windows}
    ids, owners, lengths = [], [], list[int]()
    truncated, unknown = np.zeros(len(texts), dtype=bool), np.zeros((len(texts), 2), dtype=np.int64)
    for start in range(0, len(texts), batch_size):
        # The side at which a tokenizer truncates is its own state, shared with all other code that holds it.
        with mock.patch.object(tokenizer, "truncation_side", "right" if keep == "head" else "left"):
            result = tokenizer(texts[start : start + batch_size], **options)
        owner = result["overflow_to_sample_mapping"] if windows else range(len(result.encodings))
        owners.append(np.array(owner, dtype=np.int64) + start)
        ids.append(np.fromiter(chain.from_iterable(result["input_ids"]), dtype=np.int32))
        lengths += map(len, result["input_ids"])
        np.add.at(unknown, owners[-1], unknown_words(result.encodings, tokenizer.unk_token_id))
        if not windows:
            truncated[owners[-1]] = [len(one) == max_length and bool(one.overflowing) for one in result.encodings]
    warn_of_unknown(mostly_unknown(unknown), source="the tokenizer's vocabulary")
    offsets, pad = np.append(0, np.cumsum(lengths, dtype=np.int64)), tokenizer.pad_token_id or 0
    return Tokens(np.concatenate(ids), offsets, np.concatenate(owners), len(texts), pad, truncated)


class TokenRows(Rows):
    """Windows of tokens with the labels of their texts, padded to the longest of a batch.

    Args:
        tokens: of N texts, as `tokenize` gives them.
        labels: (N, L), NaN or negative where unknown, which becomes NaN; each window has its text's. None: (N, 0),
            for texts without labels.

    Examples:
        >>> from helpers import loaders, text
        >>> from helpers.loaders.tokens import TokenRows
        >>> rows = TokenRows(loaders.tokenize(["Hi", "Go away!"], text.load_tokenizer()), [[0], [1]])
        >>> inputs, labels = rows[1]  # a batch of one row
        >>> len(rows), tuple(inputs["input_ids"].shape), labels.tolist()
        (2, (1, 5), [[1.0]])
    """

    def __init__(self, tokens: Tokens, labels: ArrayLike | None = None) -> None:
        table = np.zeros((tokens.n_texts, 0)) if labels is None else labels
        self.tokens = tokens
        self.labels = as_targets(table, tokens.n_texts, f"{tokens.n_texts} texts")[torch.from_numpy(tokens.text)]

    def inputs_of(self, numbers: np.ndarray) -> dict[str, Tensor]:
        """Return `input_ids` and `attention_mask` (B, T)."""
        starts, ends = self.tokens.offsets[numbers], self.tokens.offsets[numbers + 1]
        return padded(self.tokens.ids, starts, ends - starts, self.tokens.pad_id)


def padded(ids: np.ndarray, starts: np.ndarray, lengths: np.ndarray, pad_id: int) -> dict[str, Tensor]:
    """Pad B stretches of `ids` to T, the longest: `input_ids` and `attention_mask` (B, T); no stretch gives (0, 1)."""
    columns = np.arange(lengths.max(initial=1))
    mask = columns < lengths[:, None]
    filled = np.full(mask.shape, pad_id, dtype=np.int64)
    filled[mask] = ids[(starts[:, None] + columns)[mask]]
    return {"input_ids": torch.from_numpy(filled), "attention_mask": torch.from_numpy(mask.astype(np.int64))}


def token_loader(
    tokens: Tokens,
    labels: ArrayLike | None = None,
    *,
    batch_size: int = 32,
    shuffle: bool = False,
    seed: int = 0,
    bucket: bool = True,
    rank: int = 0,
    world_size: int = 1,
) -> DataLoader[Batch]:
    """Load tokens in batches of about equal lengths; every window once an epoch.

    Args:
        tokens: of N texts, as `tokenize` gives them.
        labels: (N, L) with NaN where unknown; None for texts without.
        batch_size: windows per batch, of all processes together.
        shuffle: a new order each epoch, for training.
        seed: of the orders.
        bucket: batches of about equal lengths; `loops.predict_proba` puts the rows back into their order.
        rank: number of this process, from 0.
        world_size: number of processes that train together; each gets its share of every batch.

    Returns:
        A DataLoader of `({"input_ids", "attention_mask"} (B, T), labels (B, L))`, T the longest of the batch.

    Raises:
        ValueError: another number of rows, no rows, a batch size below 1.

    Examples:
        >>> from helpers import loaders, text
        >>> tokens = loaders.tokenize(["Hi", "Go away, will you!", "No", "You are kind, you."], text.load_tokenizer())
        >>> for inputs, labels in loaders.token_loader(tokens, [[0], [1], [0], [0]], batch_size=2):
        ...     print(tuple(inputs["input_ids"].shape), labels.flatten().tolist())  # padded no further than needed
        (2, 8) [1.0, 0.0]
        (2, 3) [0.0, 0.0]
    """
    order = {"shuffle": shuffle, "seed": seed, "rank": rank, "world_size": world_size}
    return loader_by_length(TokenRows(tokens, labels), tokens.lengths, batch_size, bucket=bucket, **order)


def loader_by_length(
    rows: Rows,
    lengths: np.ndarray,
    batch_size: int,
    *,
    bucket: bool,
    **order: Any,  # noqa: ANN401
) -> DataLoader[Batch]:
    """Load rows of those lengths (N,) in batches of about equal ones, or as they come; `order` is the samplers'."""
    if bucket:
        return loader_of(rows, LengthBatchSampler(lengths, batch_size, **order))
    return loader_of(rows, EpochBatchSampler(len(lengths), batch_size, **order))


def pool_windows(values: np.ndarray, tokens: Tokens, *, how: Literal["max", "mean"] = "max") -> np.ndarray:
    """Pool the windows of each text: one row per text from one row per window.

    Args:
        values: (W, L), of windows, such as `loops.logits` gives.
        tokens: what the windows were made of.
        how: `max`, a text has a label where any of its windows has; or `mean`.

    Returns:
        (N, L).

    Raises:
        ValueError: another number of rows, or another way.

    Examples:
        >>> import numpy as np
        >>> from helpers import loaders, text
        >>> from helpers.loaders.tokens import pool_windows
        >>> texts = ["Go away, please!", "Hi"]
        >>> tokens = loaders.tokenize(texts, text.load_tokenizer(), max_length=5, windows=True, overlap=1)
        >>> logits = np.arange(len(tokens.text))[:, None]  # of the windows, as a model would give them
        >>> pool_windows(logits, tokens).tolist()  # the largest of each text
        [[1], [2]]
    """
    check_choice("how", how, ("max", "mean"))
    values = np.asarray(values)
    if values.ndim == 0 or len(values) != len(tokens.text):
        raise ValueError(f"values of shape {values.shape} for {len(tokens.text)} windows: expected one row per window")
    starts = np.flatnonzero(np.append(True, tokens.text[1:] != tokens.text[:-1]))
    if how == "max":
        return np.maximum.reduceat(values, starts, axis=0)
    return np.add.reduceat(values, starts, axis=0) / np.bincount(tokens.text).reshape(-1, *[1] * (values.ndim - 1))
