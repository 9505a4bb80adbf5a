"""A trained tagger at work: a folder on disk, texts in, a table of probabilities out."""

import threading
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy.special import expit

from helpers import config, folders
from helpers.arguments import check_count, iterate_texts
from helpers.tagger_settings import changed_thresholds, checked_thresholds, read_settings
from helpers.text import mostly_unknown, unknown_words, warn_of_unknown

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

GRAPH = "model.onnx"
SETTINGS, WEIGHTS = config.TAGGER_SETTINGS, config.TAGGER_WEIGHTS
CHUNK, CHARACTERS = 4096, 4_000_000  # texts, or characters, that are sorted by length together
TOKENS_AT_ONCE = 1024  # of a batch, padding included: on a CPU what stays in its cache is faster than more

Run = Callable[[dict[str, np.ndarray]], np.ndarray]


class Predictor:
    """Texts in, a DataFrame of probabilities out; several threads may call it at once, and it needs no network.

    Texts are tokenized a few thousand at a time, sorted by length, run in batches of about equal lengths and given
    back in the caller's order.

    Attributes:
        labels: names of the L labels, the columns of what `predict` gives.
        thresholds: by label, what `predict` decides with.
        max_length: length of a text, or of a window of a text; None for a tagger of counts, which reads whole texts.
        windows: whether longer texts are split into windows, as in training; False truncates them.
        n_truncated: number of texts that were truncated so far.

    Examples:
        >>> from helpers import export, models
        >>> encoder, tokenizer = models.load_encoder()
        >>> folder = models.save_tagger("tagger", models.BertTagger(encoder, 2), tokenizer, labels=["toxic", "insult"])
        >>> predictor = export.Predictor.load(folder)
        >>> table = predictor.predict_proba(["You are kind.", "Go away!"])
        >>> list(table.columns), len(table)
        (['toxic', 'insult'], 2)
        >>> predictor.predict(["Go away!"], thresholds={"toxic": 0.0, "insult": 1.0}).to_dict("records")
        [{'toxic': 1, 'insult': 0}]
    """

    def __init__(self, run: Run, tokenizer: "Tokenizer", settings: Mapping[str, Any]) -> None:
        self._run, self._tokenizer = run, tokenizer
        self.labels: list[str] = settings["labels"]
        self.thresholds: dict[str, float] = settings["thresholds"]
        self.max_length: int | None = settings["max_length"]
        self.windows: bool = settings["windows"]
        self.n_truncated, self._warned = 0, False
        self._unknown_id = tokenizer.token_to_id(getattr(tokenizer.model, "unk_token", None) or "<unk>")
        self._keep, self._window_pooling = settings["keep"], settings["window_pooling"]
        self._pad_id, self._counting = check_count("pad_id", settings["pad_id"], at_least=0), threading.Lock()
        side = {"head": "right", "tail": "left"}[self._keep]
        tokenizer.enable_truncation(self.max_length, stride=settings["overlap"] if self.windows else 0, direction=side)
        tokenizer.no_padding()

    @classmethod
    def load(cls, folder: str | Path, *, threads: int | None = None) -> "Predictor":
        """Load what `models.save_tagger` (a network is run by torch) or `export.to_onnx` (onnxruntime) wrote.

        Args:
            folder: of the tagger.
            threads: that onnxruntime uses for one batch; None takes all cores. Torch keeps its own setting,
                `torch.set_num_threads`.

        Raises:
            FileNotFoundError: the folder is no tagger's; the missing file is named.
            ValueError: a file is corrupt or names code to run, or the files do not belong together; the file is named.
        """
        if threads is not None:
            threads = check_count("threads", threads)
        return folders.read_whole(folder, lambda: cls._read(Path(folder), threads))

    @classmethod
    def _read(cls, folder: Path, threads: int | None) -> "Predictor":
        from tokenizers import Tokenizer

        settings, tokenizer_file = read_settings(folder), folder / "tokenizer.json"
        folders.refuse_code(folder)
        if settings.get("kind") == "counts":
            return _CountPredictor(folder, settings)
        if (folder / GRAPH).is_file():
            run = by_onnxruntime(folder / GRAPH, threads, len(settings["labels"]))
        elif (folder / WEIGHTS).is_file():
            from helpers import models

            saved: Any = models.load_tagger(folder)
            run, settings["pad_id"] = by_torch(saved.tagger), saved.tokenizer.pad_token_id or 0
        else:
            raise FileNotFoundError(
                f"{folder} holds neither {GRAPH} nor {WEIGHTS}: the folder of the tagger is incomplete"
            )
        if not tokenizer_file.is_file():
            raise FileNotFoundError(f"{tokenizer_file} is missing: the folder of the tagger is incomplete")
        try:
            return cls(run, Tokenizer.from_file(str(tokenizer_file)), settings)
        except Exception as error:  # the library raises bare Exceptions
            raise ValueError(f"{folder}: {SETTINGS} or {tokenizer_file.name} is corrupt: {error!r}") from error

    def predict_proba(self, texts: Iterable[str]) -> pd.DataFrame:
        """Predict the probabilities of texts: (N, L) float32, one row per text, one column per label.

        A text that is longer than the model reads is split into windows where the tagger was saved with windows, and
        truncated otherwise; the first call that truncates warns, and `n_truncated` counts all of them. The first call
        in which most words of texts are unknown to the model warns, too. An empty text is a text, and has
        probabilities. A lone surrogate, half of a character that some program cut in two, is left out with a warning.

        Args:
            texts: a list, a Series (whose index the answer gets), a generator of any length.

        Raises:
            ValueError: texts as in `text.as_texts`.
        """
        unknown: list[np.ndarray] = []
        tables = [self._probabilities(chunk, unknown) for chunk in _chunks(iterate_texts(texts))]
        if unknown and not self._warned:
            self._warned = warn_of_unknown(np.concatenate(unknown), source="the vocabulary")
        whole = np.concatenate(tables) if tables else np.zeros((0, len(self.labels)), dtype=np.float32)
        return pd.DataFrame(whole, columns=self.labels, index=texts.index if isinstance(texts, pd.Series) else None)

    def predict(self, texts: Iterable[str], *, thresholds: Mapping[str, float] | None = None) -> pd.DataFrame:
        """Decide labels, (N, L) of 0 and 1: 1 where a probability is at least its label's threshold.

        Args:
            texts: as `predict_proba`.
            thresholds: by label; labels that are not named keep those of the folder.

        Raises:
            ValueError: as `predict_proba`; a threshold for no label, or neither from 0 to 1 nor inf.
        """
        own = {} if thresholds is None else changed_thresholds(self.labels, thresholds)
        limits = pd.Series(checked_thresholds(self.labels, self.thresholds | own))
        return self.predict_proba(texts).ge(limits, axis="columns").astype(np.int8)

    def _probabilities(self, texts: list[str], unknown: list[np.ndarray]) -> np.ndarray:
        """Probabilities (N, L); appends to `unknown` which texts are mostly unknown to the model, (N,) bool."""
        result: list[Encoding] = self._tokenizer.encode_batch_fast(texts)
        unknown.append(self._unknown(texts, result))
        overflowing = [encoding.overflowing if len(encoding) == self.max_length else [] for encoding in result]
        if self.windows:
            windows = [[first, *others] for first, others in zip(result, overflowing, strict=True)]
            starts = np.cumsum([0, *map(len, windows)])[:-1]
            logits = self._logits([window for text in windows for window in text])
            return expit(_pooled(logits, starts, self._window_pooling))
        self._note_truncated(sum(map(bool, overflowing)), len(texts))
        return expit(self._logits(result))

    def _unknown(self, texts: list[str], encodings: list["Encoding"]) -> np.ndarray:
        rows = [] if self._warned else [row for row, each in enumerate(encodings) if self._unknown_id in each.ids]
        counts = np.zeros((len(texts), 2), dtype=np.int64)
        if rows:  # encode_batch_fast gives no words
            counts[rows] = unknown_words(self._tokenizer.encode_batch([texts[row] for row in rows]), self._unknown_id)
        return mostly_unknown(counts)

    def _logits(self, encodings: list["Encoding"]) -> np.ndarray:
        lengths = np.array([len(encoding) for encoding in encodings])
        order = np.argsort(lengths, kind="stable")
        logits = np.empty((len(encodings), len(self.labels)), dtype=np.float32)
        for start, stop in _batches(lengths[order]):
            rows = order[start:stop]
            mask = np.arange(lengths[rows].max()) < lengths[rows][:, None]
            ids = np.full(mask.shape, self._pad_id, dtype=np.int64)
            ids[mask] = np.concatenate([encodings[row].ids for row in rows])
            logits[rows] = self._run({"input_ids": ids, "attention_mask": mask.astype(np.int64)})
        return logits

    def _note_truncated(self, number: int, of: int) -> None:
        with self._counting:
            is_first = number > 0 and self.n_truncated == 0
            self.n_truncated += number
        if is_first:
            warnings.warn(
                f"{number:,} of {of:,} texts are longer than {self.max_length} tokens and were truncated (their "
                f"{self._keep} was read). Predictor.n_truncated counts further ones without a warning; a tagger saved "
                "with windows=True reads whole texts",
                stacklevel=4,
            )


class _CountPredictor(Predictor):
    """The same over counts: no tokens, and nothing is cut."""

    def __init__(self, folder: Path, settings: dict[str, Any]) -> None:
        from helpers.models.linear import read_counts

        self._tagger = read_counts(folder, settings)
        self.labels, self.thresholds = settings["labels"], settings["thresholds"]
        self.max_length, self.windows, self.n_truncated, self._warned = None, False, 0, False

    def _probabilities(self, texts: list[str], unknown: list[np.ndarray]) -> np.ndarray:
        unknown.append(self._tagger.mostly_unknown(texts))
        return self._tagger.probabilities(texts)


def _pooled(logits: np.ndarray, starts: np.ndarray, how: str) -> np.ndarray:
    """One row per text from one row per window, as `loaders.tokens.pool_windows` does it."""
    if how == "max":
        return np.maximum.reduceat(logits, starts, axis=0)
    counts = np.diff([*starts, len(logits)])
    return np.add.reduceat(logits, starts, axis=0) / counts[:, None].astype(logits.dtype)


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    """Some texts at a time, fewer where they are long: what is cut off is tokenized too, and takes memory."""
    chunk, characters = [], 0
    for text in texts:
        chunk.append(text)
        characters += len(text)
        if len(chunk) >= CHUNK or characters >= CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _batches(lengths: np.ndarray) -> Iterator[tuple[int, int]]:
    """Starts and stops of batches of at most `TOKENS_AT_ONCE` tokens; lengths ascend, a longer text is a batch."""
    start = 0
    while start < len(lengths):
        stop = start + 1
        while stop < len(lengths) and lengths[stop] * (stop + 1 - start) <= TOKENS_AT_ONCE:
            stop += 1
        yield start, stop
        start = stop


def by_torch(tagger: Callable[..., Any]) -> Run:
    """Run a tagger in torch, arrays in and logits out."""
    import torch

    def run(inputs: dict[str, np.ndarray]) -> np.ndarray:
        with torch.inference_mode():
            return tagger(**{name: torch.from_numpy(array) for name, array in inputs.items()}).numpy()

    return run


def by_onnxruntime(path: Path, threads: int | None, n_labels: int) -> Run:
    """Run an ONNX file in onnxruntime, arrays in and logits out; ValueError where it is corrupt or of other labels."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library's own kinds of error have no common class of their own
        raise ValueError(f"{path} is corrupt, or no model that onnxruntime reads: {error}") from error
    if (width := session.get_outputs()[0].shape[-1]) != n_labels:
        raise ValueError(f"{path} gives {width} logits, and {path.with_name(SETTINGS)} names {n_labels} labels")
    return lambda inputs: session.run(None, inputs)[0]
