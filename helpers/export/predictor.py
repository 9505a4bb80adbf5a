"""A trained tagger at work: a folder on disk, texts in, a table of probabilities out."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from helpers.export.names import GRAPH, SETTINGS, VOCABULARY, WEIGHTS

if TYPE_CHECKING:
    from tokenizers import Encoding, Tokenizer

CHUNK, CHARACTERS = 4096, 4_000_000  # texts, or characters, that are sorted by length together
TOKENS_AT_ONCE = 1024  # of a batch, padding included: on a CPU what stays in its cache is faster than more

Run = Callable[[dict[str, np.ndarray]], np.ndarray]


class Predictor:
    """Texts in, a DataFrame of probabilities out; several threads may call it at once, and it needs no network.

    Texts are tokenized a few thousand at a time, sorted by length, run in batches of about equal lengths and given
    back in the caller's order.

    Attributes:
        labels: names of the L labels, the columns of what `predict` gives.
        thresholds: by label, what `tags` decides with.
        max_tokens: length at which texts are cut; a tagger of counts has none.

    Examples:
        >>> from helpers import export, models
        >>> encoder, tokenizer = models.load_encoder()
        >>> folder = models.save_tagger("tagger", models.BertTagger(encoder, 2), tokenizer, labels=["toxic", "insult"])
        >>> predictor = export.Predictor.load(folder)
        >>> table = predictor.predict(["You are kind.", "Go away!"])
        >>> list(table.columns), len(table)
        (['toxic', 'insult'], 2)
        >>> predictor.tags(["Go away!"], thresholds={"toxic": 0.0, "insult": 1.0}).to_dict("records")
        [{'toxic': 1, 'insult': 0}]
    """

    def __init__(
        self, run: Run, tokenizer: "Tokenizer", *, labels: list[str], thresholds: Mapping[str, float], **settings: int
    ) -> None:
        self._run, self._tokenizer = run, tokenizer
        self.labels = labels
        self.thresholds = {label: thresholds.get(label, 0.5) for label in labels}
        self.max_tokens, self._pad_id = settings["max_tokens"], settings["pad_id"]

    @classmethod
    def load(cls, folder: str | Path, *, threads: int | None = None) -> "Predictor":
        """Read what `models.save_tagger` (run by torch), `export.to_onnx` (onnxruntime) or `models.save_counts` wrote.

        Args:
            folder: of the tagger.
            threads: that onnxruntime uses for one batch; None takes all cores. Torch keeps its own setting,
                `torch.set_num_threads`.

        Raises:
            FileNotFoundError: the folder is no tagger's; the missing file is named.
            ValueError: a file is torn, or the files do not belong together; the file is named.
        """
        from tokenizers import Tokenizer

        folder = Path(folder)
        _there(folder / SETTINGS)
        if (folder / VOCABULARY).is_file():
            return _CountPredictor(folder)
        if (folder / GRAPH).is_file():
            settings = _settings(folder)
            run = _by_onnxruntime(folder / GRAPH, threads, len(settings["labels"]))
        else:
            if not (folder / WEIGHTS).is_file():
                raise FileNotFoundError(f"{folder} holds neither {GRAPH} nor {WEIGHTS}: not the whole of a tagger")
            from helpers import models

            saved = models.load_tagger(folder)
            settings = {"labels": saved.labels, "thresholds": saved.thresholds, "max_tokens": saved.max_tokens}
            settings |= {"keep": saved.keep, "pad_id": saved.tokenizer.pad_token_id or 0}
            run = _by_torch(saved.tagger)
        tokenizer_file = _there(folder / "tokenizer.json")
        try:
            tokenizer = Tokenizer.from_file(str(tokenizer_file))
        except Exception as error:  # the library raises bare Exceptions
            raise ValueError(f"{tokenizer_file} is torn: {error}") from error
        side = {"head": "right", "tail": "left"}[settings.pop("keep")]
        tokenizer.enable_truncation(settings["max_tokens"], direction=side)
        tokenizer.no_padding()
        return cls(run, tokenizer, **settings)

    def predict(self, texts: Iterable[str]) -> pd.DataFrame:
        """Probabilities of texts, (N, L) float32, a column a label.

        An empty text is a text, and has probabilities. A lone surrogate, half of a character that some program cut in
        two, is read as no character at all.

        Args:
            texts: a list, a Series (whose index the answer gets), a generator of any length.

        Raises:
            ValueError: one text or a table instead of several texts, or an entry that is no text (its number is named).
        """
        if isinstance(texts, str):
            raise ValueError("texts must be several texts, not one: put it into a list")
        if isinstance(texts, pd.DataFrame):
            raise ValueError(f"texts is a table with the columns {list(texts.columns)}: pass one of them")
        tables = [self._probabilities(chunk) for chunk in _chunks(texts)]
        whole = np.concatenate(tables) if tables else np.zeros((0, len(self.labels)), dtype=np.float32)
        return pd.DataFrame(whole, columns=self.labels, index=texts.index if isinstance(texts, pd.Series) else None)

    def tags(self, texts: Iterable[str], *, thresholds: Mapping[str, float] | None = None) -> pd.DataFrame:
        """Decisions, (N, L) of 0 and 1: 1 where a probability reaches its label's threshold.

        Args:
            texts: as `predict`.
            thresholds: by label; labels that are not named keep those of the folder.

        Raises:
            ValueError: as `predict`; a threshold for no label.
        """
        given = dict(thresholds or {})
        if unknown := sorted(set(given) - set(self.labels)):
            raise ValueError(f"thresholds for {', '.join(unknown)}, and the labels are {', '.join(self.labels)}")
        limits = pd.Series(self.thresholds | given)
        return self.predict(texts).ge(limits, axis="columns").astype(np.int8)

    def _probabilities(self, texts: list[str]) -> np.ndarray:
        found = self._tokenizer.encode_batch_fast(texts)
        lengths = np.array([len(encoding) for encoding in found])
        order = np.argsort(lengths, kind="stable")
        logits = np.empty((len(texts), len(self.labels)), dtype=np.float32)
        for start, stop in _batches(lengths[order]):
            rows = order[start:stop]
            logits[rows] = self._run(self._inputs([found[row] for row in rows], lengths[rows]))
        return _sigmoid(logits)

    def _inputs(self, found: list["Encoding"], lengths: np.ndarray) -> dict[str, np.ndarray]:
        mask = np.arange(lengths.max()) < lengths[:, None]
        ids = np.full(mask.shape, self._pad_id, dtype=np.int64)
        ids[mask] = np.concatenate([encoding.ids for encoding in found])
        return {"input_ids": ids, "attention_mask": mask.astype(np.int64)}


class _CountPredictor(Predictor):
    """The same over counts: no tokens, and nothing is cut."""

    def __init__(self, folder: Path) -> None:
        from helpers import models

        self._tagger, self.thresholds = models.load_counts(folder)
        self.labels = self._tagger.labels

    def _probabilities(self, texts: list[str]) -> np.ndarray:
        return self._tagger.probabilities(texts)


def _chunks(texts: Iterable[str]) -> Iterator[list[str]]:
    """Some texts at a time, fewer where they are long: what is cut off is tokenized too, and takes memory."""
    chunk, characters = [], 0
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"text {number} (counted from 0) is {text!r}, not a text")
        chunk.append(_sound(text))
        characters += len(text)
        if len(chunk) >= CHUNK or characters >= CHARACTERS:
            yield chunk
            chunk, characters = [], 0
    if chunk:
        yield chunk


def _sound(text: str) -> str:
    """A text without lone surrogates, which no tokenizer reads; two halves that follow each other are a character."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        whole = text.encode("utf-16", "surrogatepass").decode("utf-16", "surrogatepass")
        return re.sub("[\ud800-\udfff]", "", whole)
    return text


def _batches(lengths: np.ndarray) -> Iterator[tuple[int, int]]:
    """Starts and stops of batches of at most `TOKENS_AT_ONCE` tokens; lengths ascend, a longer text is a batch."""
    start = 0
    while start < len(lengths):
        stop = start + 1
        while stop < len(lengths) and lengths[stop] * (stop + 1 - start) <= TOKENS_AT_ONCE:
            stop += 1
        yield start, stop
        start = stop


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    return expit(logits)


def _by_torch(tagger: Callable[..., Any]) -> Run:
    import torch

    def run(inputs: dict[str, np.ndarray]) -> np.ndarray:
        with torch.inference_mode():
            return tagger(**{name: torch.from_numpy(array) for name, array in inputs.items()}).numpy()

    return run


def _by_onnxruntime(path: Path, threads: int | None, n_labels: int) -> Run:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # the library's own kinds of error have no common class of their own
        raise ValueError(f"{path} is torn, or no model that onnxruntime reads: {error}") from error
    if (width := session.get_outputs()[0].shape[-1]) != n_labels:
        raise ValueError(f"{path} gives {width} logits, and {path.with_name(SETTINGS)} names {n_labels} labels")
    return lambda inputs: session.run(None, inputs)[0]


def _there(path: Path) -> Path:
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: the folder holds not the whole of a tagger")
    return path


def _settings(folder: Path) -> dict[str, Any]:
    path = folder / SETTINGS
    try:
        given = json.loads(path.read_text(encoding="utf-8"))
        settings = {
            "labels": list(given["labels"]),
            "thresholds": {name: float(value) for name, value in given["thresholds"].items()},
            "max_tokens": int(given["max_tokens"]),
            "keep": str(given["keep"]),
            "pad_id": int(given["pad_id"]),
        }
        if settings["keep"] not in ("head", "tail"):
            raise ValueError(f"keep={settings['keep']!r}")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is torn or no export's: {error!r}") from error
    return settings
