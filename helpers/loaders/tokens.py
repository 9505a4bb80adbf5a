"""Token ids: made in batches, kept ragged, padded no further than their batch."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch.utils.data import DataLoader, Dataset

from helpers.arguments import as_numbers, check_choice, check_count
from helpers.loaders.batches import Batch, loader_of, row_numbers
from helpers.loaders.samplers import EpochBatchSampler, LengthBatchSampler
from helpers.text import as_texts
from helpers.text_checks import mostly_unknown, unknown_words, warn_of_unknown

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

    @property
    def nbytes(self) -> int:
        """Bytes that the arrays take."""
        return self.ids.nbytes + self.offsets.nbytes + self.text.nbytes


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
    """Token ids of texts, a thousand texts a call, several times as fast as one by one.

    Warns when most words of texts are unknown to the tokenizer ([UNK]), as in a script that its vocabulary lacks.

    Args:
        texts: N texts, whatever `text.as_texts` takes (a list, a Series, a generator).
        tokenizer: a fast one, as `models.load_encoder` or `text.load_tokenizer` gives it.
        max_length: of a window, the special tokens included.
        keep: what is left of a text that is truncated: its `head`, or its `tail`, where reviewers give their verdict
            (Sun et al. 2019, How to Fine-Tune BERT for Text Classification).
        windows: split longer texts into overlapping windows, which lose nothing; False truncates them.
        overlap: tokens that neighbouring windows share.
        batch_size: texts a call.

    Raises:
        ValueError: texts as in `text.as_texts`, or none; a slow tokenizer; a limit that leaves no room for words or is
            beyond what the tokenizer says its encoder reads; an overlap as long as a window; another `keep`;
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
    _check_reading(tokenizer, max_length, keep, windows, overlap)
    check_count("batch_size", batch_size)
    options = {"truncation": True, "max_length": max_length, "stride": overlap if windows else 0}
    options |= {"return_attention_mask": False, "return_token_type_ids": False, "return_overflowing_tokens": windows}
    ids, lengths, owners, truncated = [], [], [], np.zeros(len(texts), dtype=bool)
    unknown = np.zeros((len(texts), 2), dtype=np.int64)
    for start in range(0, len(texts), batch_size):
        with _cutting(tokenizer, keep):
            result = tokenizer(texts[start : start + batch_size], **options)
        parts = result["input_ids"]
        owner = result["overflow_to_sample_mapping"] if windows else range(len(parts))
        ids.append(np.fromiter(chain.from_iterable(parts), dtype=np.int32))
        lengths += [len(part) for part in parts]
        owners.append(np.array(owner, dtype=np.int64) + start)
        np.add.at(unknown, owners[-1], unknown_words(result.encodings, tokenizer.unk_token_id))
        for index, part in enumerate(parts):
            if len(part) == max_length and not windows:
                truncated[start + index] = bool(result.encodings[index].overflowing)
    warn_of_unknown(mostly_unknown(unknown), source="the tokenizer's vocabulary")
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    pad = tokenizer.pad_token_id or 0
    return Tokens(np.concatenate(ids), offsets, np.concatenate(owners), len(texts), pad, truncated)


def _check_reading(
    tokenizer: "PreTrainedTokenizerBase", max_length: int, keep: str, windows: bool, overlap: int
) -> None:
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(f"{type(tokenizer).__name__} is no fast tokenizer: AutoTokenizer.from_pretrained gives one")
    least, longest = tokenizer.num_special_tokens_to_add() + 1, tokenizer.model_max_length
    check_count("max_length", max_length, at_least=least)
    if max_length > longest:
        raise ValueError(
            f"max_length={max_length}, and the encoder reads {longest} at most: "
            "lower it, and read longer texts with windows=True"
        )
    check_choice("keep", keep, ("head", "tail"))
    if check_choice("windows", windows, (True, False)):
        check_count("overlap", overlap, at_least=0, at_most=max_length - least)
        if keep != "head":
            raise ValueError(f"keep={keep!r}, windows=True: windows read whole texts and truncate none; leave keep out")


@contextmanager
def _cutting(tokenizer: "PreTrainedTokenizerBase", keep: str) -> Iterator[None]:
    """The side at which a tokenizer cuts is its own state, shared with all other code that holds it."""
    before = tokenizer.truncation_side
    tokenizer.truncation_side = "right" if keep == "head" else "left"
    try:
        yield
    finally:
        tokenizer.truncation_side = before


class TokenRows(Dataset[Batch]):
    """Windows of tokens with the labels of their texts, padded to the longest of a batch.

    Args:
        tokens: of N texts, as `tokenize` gives them.
        labels: (N, L), NaN or negative where unknown, which becomes NaN; each window has its text's. None: (N, 0),
            for texts without labels.

    Raises:
        ValueError: another number of rows, or labels that are no table.

    Examples:
        >>> from helpers import loaders, text
        >>> rows = loaders.TokenRows(loaders.tokenize(["Hi", "Go away!"], text.load_tokenizer()), [[0], [1]])
        >>> inputs, labels = rows[1]  # a batch of one row
        >>> len(rows), tuple(inputs["input_ids"].shape), labels.tolist()
        (2, (1, 5), [[1.0]])
    """

    def __init__(self, tokens: Tokens, labels: ArrayLike | None = None) -> None:
        table = np.zeros((tokens.n_texts, 0)) if labels is None else as_numbers("labels", labels)
        if table.ndim != 2 or len(table) != tokens.n_texts:
            raise ValueError(f"labels {table.shape} for {tokens.n_texts} texts: (N, L) is needed")
        self.tokens = tokens
        self.labels = torch.from_numpy(np.where(table < 0, np.nan, table).astype(np.float32)[tokens.text])

    def __len__(self) -> int:
        return len(self.tokens.text)

    def __getitems__(self, rows: Sequence[int]) -> Batch:
        numbers = row_numbers(rows, len(self))
        starts = self.tokens.offsets[numbers]
        inputs = padded(self.tokens.ids, starts, self.tokens.offsets[numbers + 1] - starts, self.tokens.pad_id)
        return Batch((inputs, self.labels[torch.from_numpy(numbers)]))

    def __getitem__(self, row: int) -> Batch:
        return self.__getitems__([row])


def padded(ids: np.ndarray, starts: np.ndarray, lengths: np.ndarray, pad_id: int) -> dict[str, torch.Tensor]:
    """`input_ids` and `attention_mask` (B, T) of B stretches of `ids`, T the longest; no stretch gives (0, 1)."""
    places = np.arange(lengths.max(initial=1))
    mask = places < lengths[:, None]
    filled = np.full(mask.shape, pad_id, dtype=np.int64)
    filled[mask] = ids[(starts[:, None] + places)[mask]]
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
    """A loader over tokens; every window once an epoch.

    Args:
        tokens: of N texts, as `tokenize` gives them.
        labels: (N, L) with NaN where unknown; None for texts without.
        batch_size: windows a batch, of all processes together.
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
    rows, order = TokenRows(tokens, labels), {"shuffle": shuffle, "seed": seed, "rank": rank, "world_size": world_size}
    return loader_by_length(rows, tokens.lengths, batch_size, bucket=bucket, **order)


def loader_by_length(
    rows: Dataset[Batch],
    lengths: np.ndarray,
    batch_size: int,
    *,
    bucket: bool,
    **order: Any,  # noqa: ANN401
) -> DataLoader[Batch]:
    """A loader over rows of those lengths (N,): in batches of about equal ones, or as they come.

    Args:
        rows: gives whole batches.
        lengths: (N,) tokens of each row.
        batch_size: rows a batch, of all processes together.
        bucket: batches of about equal lengths.
        order: `shuffle`, `seed`, `rank` and `world_size`, as the samplers take them.
    """
    if bucket:
        return loader_of(rows, LengthBatchSampler(lengths, batch_size, **order))
    return loader_of(rows, EpochBatchSampler(len(lengths), batch_size, **order))


def pool_windows(values: np.ndarray, tokens: Tokens, *, how: Literal["max", "mean"] = "max") -> np.ndarray:
    """One row a text from one row a window.

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
        >>> texts = ["Go away, please!", "Hi"]
        >>> tokens = loaders.tokenize(texts, text.load_tokenizer(), max_length=5, windows=True, overlap=1)
        >>> logits = np.arange(len(tokens.text))[:, None]  # of the windows, as a model would give them
        >>> loaders.pool_windows(logits, tokens).tolist()  # the largest of each text
        [[1], [2]]
    """
    values, _ = np.asarray(values), check_choice("how", how, ("max", "mean"))
    if values.ndim == 0 or len(values) != len(tokens.text):
        raise ValueError(f"values of shape {values.shape} for {len(tokens.text)} windows: expected one row per window")
    starts = np.flatnonzero(np.append(True, tokens.text[1:] != tokens.text[:-1]))
    pooled = (np.maximum if how == "max" else np.add).reduceat(values, starts, axis=0)
    if how == "max":
        return pooled
    return pooled / np.bincount(tokens.text).reshape(-1, *[1] * (values.ndim - 1))
