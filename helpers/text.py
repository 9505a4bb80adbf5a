"""Texts before a model sees them: cleaning for bags of words, token counts, words that mark a label, safe display."""

import html
import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import regex

from helpers import config, folders
from helpers.arguments import as_numbers

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_STEPS = (
    (regex.compile(r"https?://\S+|www\.\S+"), " url "),
    (regex.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"), " ipaddress "),
    (regex.compile(r"(?<=[\p{L}\p{M}])['’](?=\p{L})"), ""),
    (regex.compile(r"\p{N}+"), " number "),
    (regex.compile(r"[^\p{L}\p{M}]+"), " "),
    (regex.compile(r"(\p{L})\1{2,}"), r"\1\1"),
)

_LEAST_VOCABULARY = 100
_WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+")


def clean_text(text: str) -> str:
    """Bring a text to the plain words that a bag of words counts.

    In this order: one Unicode form (NFKC) and lower case (casefold); web addresses become `url`, IP addresses
    `ipaddress`, numbers `number`; apostrophes inside words vanish (`don't` becomes `dont`); every other sign that is no
    letter or accent, emoji included, becomes a space; a letter repeated three times or more is kept twice (`stoooop`
    becomes `stoop`); spaces are single.

    Letters of every script stay. Cleaning twice changes nothing. It is for counts only: BERT's tokenizer was trained on
    text as people write it, and case, signs and spelling are part of what it reads.

    Args:
        text: any text.

    Returns:
        The words, separated by single spaces; "" when there is none.

    Examples:
        >>> from helpers import text
        >>> text.clean_text("DON'T!! Stoooop, see www.example.org, all 42 of it")
        'dont stoop see url all number of it'
        >>> text.clean_text(":-)")
        ''
    """
    while True:
        cleaned = _clean_once(text)
        if cleaned == text:
            return cleaned
        text = cleaned


def _clean_once(text: str) -> str:
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    for pattern, replacement in _STEPS:
        text = pattern.sub(replacement, text)
    return " ".join(text.split())


def load_tokenizer(encoder: str | Path = config.PACKAGED_ENCODER) -> "PreTrainedTokenizerBase":
    """The tokenizer of an encoder.

    Where the vocabulary is missing, transformers 5 may return a tokenizer of special tokens that maps every word to
    [UNK]; that is refused.

    Args:
        encoder: the packaged encoder's name (its vocabulary is checked, no network is tried), a local folder, or a name
            on the Hugging Face hub, looked for in the local cache alone when HF_HUB_OFFLINE=1.

    Raises:
        OSError: the encoder cannot be found; the message lists the three ways out.
        ValueError: the packaged vocabulary is not the original, or a folder names code to run.

    Examples:
        >>> from helpers import text
        >>> tokenizer = text.load_tokenizer()
        >>> tokenizer.tokenize("unfriendliness")
        ['un', '##fr', '##ien', '##dl', '##iness']
    """
    from transformers import AutoTokenizer

    if str(encoder) == config.PACKAGED_ENCODER:
        folder = config.packaged_encoder(weights=False)
        return AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    folders.refuse_code(encoder)
    local = Path(encoder).is_dir() or os.environ.get("HF_HUB_OFFLINE") == "1"
    try:
        tokenizer = AutoTokenizer.from_pretrained(encoder, local_files_only=local, trust_remote_code=False)
        tokenizer.init_kwargs.pop("auto_map", None)
        if len(tokenizer) < _LEAST_VOCABULARY:
            raise ValueError(f"its vocabulary has {len(tokenizer)} entries: the files of the tokenizer are missing")
        return tokenizer
    except (OSError, ValueError) as error:
        folders.refuse_code_that_was_asked_for(error, encoder)
        raise OSError(
            f"no tokenizer for encoder {str(encoder)!r}. Three ways out: take the packaged {config.PACKAGED_ENCODER}; "
            "name a local folder that holds one; or let transformers fetch it (network on, HF_HUB_OFFLINE unset)"
            f" ({error})"
        ) from error


def as_texts(texts: Iterable[str]) -> list[str]:
    """A list of texts, which is what a tokenizer takes (it refuses a Series).

    Raises:
        ValueError: one text instead of several, or an entry that is no text (its number is named).

    Examples:
        >>> import pandas as pd
        >>> from helpers import text
        >>> text.as_texts(pd.Series(["one", "two"]))
        ['one', 'two']
        >>> text.as_texts(["one", None])
        Traceback (most recent call last):
            ...
        ValueError: text 1 (counted from 0) is None, not a text
    """
    if isinstance(texts, str):
        raise ValueError("texts must be several texts, not one: put it into a list")
    texts = list(texts)
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise ValueError(f"text {number} (counted from 0) is {text!r}, not a text")
    return texts


def token_counts(
    texts: Iterable[str], tokenizer: "PreTrainedTokenizerBase | None" = None, *, batch_size: int = 1000
) -> np.ndarray:
    """How many tokens each text has, the two special tokens included, nothing cut.

    Args:
        texts: N texts (a list, a Series, a generator).
        tokenizer: from `load_tokenizer`; None takes the packaged encoder's.
        batch_size: texts handed to the tokenizer at once; batches are several times as fast as rows.

    Returns:
        (N,) int array.

    Raises:
        ValueError: one text instead of several, an entry that is no text (its number is named).

    Examples:
        >>> from helpers import text
        >>> text.token_counts(["hello", "hello there, you"]).tolist()
        [3, 6]
    """
    if batch_size < 1:
        raise ValueError(f"batch_size={batch_size} must be 1 or more")
    texts, counts = as_texts(texts), []
    tokenizer = tokenizer if tokenizer is not None else load_tokenizer()
    for start in range(0, len(texts), batch_size):
        batch = tokenizer(
            texts[start : start + batch_size],
            truncation=False,
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )
        counts += [len(ids) for ids in batch["input_ids"]]
    return np.array(counts, dtype=int)


def marking_words(
    texts: Sequence[str], marked: Sequence[bool], *, prior: float = 500.0, min_rows: int = 5
) -> pd.DataFrame:
    """Words that tell two groups of texts apart: log-odds with an informative Dirichlet prior.

    Raw counts favour frequent words and raw ratios favour rare ones. Here each group's word rates are first drawn
    towards the rates of all texts, with the weight of `prior` words, and the log-odds ratio is divided by its standard
    deviation (Monroe, Colaresi, Quinn 2008, "Fightin' Words", equations 15-22). A word counts once a text, so that one
    text that repeats a word 200 times does not decide.

    Args:
        texts: N texts, cleaned with `clean_text` or not.
        marked: (N,) True for texts of the group of interest.
        prior: weight of the prior, in words.
        min_rows: words in fewer texts are left out.

    Returns:
        Indexed by word, strongest mark first: `z` (standard deviations), `marked` and `others` (texts with the word).

    Raises:
        ValueError: the lengths differ, an entry of `marked` is unknown, one of the groups is empty, or no word stands
            in `min_rows` texts.

    Examples:
        >>> from helpers import text
        >>> texts = ["you fool", "what a fool", "what a day", "you are kind"]
        >>> table = text.marking_words(texts, [True, True, False, False], prior=10, min_rows=2)
        >>> table.index.tolist()
        ['fool', 'what', 'you']
        >>> table.loc["fool", ["marked", "others"]].astype(int).tolist()
        [2, 0]
    """
    from sklearn.feature_extraction.text import CountVectorizer

    chosen = as_numbers("marked", marked)
    if chosen.shape != (len(texts),):
        raise ValueError(f"{len(texts)} texts, and marked has shape {chosen.shape}")
    if not np.isin(chosen, (0, 1)).all():
        raise ValueError("marked holds other values than True and False; leave out rows whose label is unknown")
    chosen = chosen.astype(bool)
    if not chosen.any() or chosen.all():
        raise ValueError(f"{chosen.sum()} of {len(texts)} texts are marked: both groups need at least one text")
    vectorizer = CountVectorizer(binary=True, analyzer=_long_words)
    counts = vectorizer.fit_transform(texts)
    kept = np.asarray(counts.sum(axis=0)).ravel() >= min_rows
    if kept.sum() < 2 or prior <= 0:
        raise ValueError(
            f"{kept.sum()} words stand in {min_rows} texts or more, prior={prior}: lower min_rows or mend prior"
        )
    counts = counts[:, kept]
    inside, outside = (np.asarray(counts[rows].sum(axis=0)).ravel() for rows in (chosen, ~chosen))
    background = prior * (inside + outside) / (inside + outside).sum()
    a, b = inside + background, outside + background
    log_odds = np.log(a / (a.sum() - a)) - np.log(b / (b.sum() - b))
    table = pd.DataFrame(
        {"z": log_odds / np.sqrt(1 / a + 1 / b), "marked": inside, "others": outside},
        index=pd.Index(vectorizer.get_feature_names_out()[kept], name="word"),
    )
    return table.sort_values("z", ascending=False, kind="stable")


def _long_words(text: str) -> list[str]:
    return [word for word in _WORD.findall(text.lower()) if len(word) > 1]


def mask(text: str) -> str:
    """The text with all but the first letter of each word replaced by `*`, for a screen that others see.

    Examples:
        >>> from helpers import text
        >>> text.mask("You silly old goat!")
        'Y** s**** o** g***!'
    """
    return _WORD.sub(lambda word: word[0][0] + "*" * (len(word[0]) - 1), text)


def as_html(
    frame: pd.DataFrame,
    *,
    labels: Iterable[str] | None = None,
    text: str | None = None,
    most: int = 300,
    masked: bool = False,
) -> str:
    """Comments as an HTML list in which nothing of a comment can run: mark-up is escaped, formulas are not typeset.

    Args:
        frame: a table of comments.
        labels: label columns whose positives are named before the text, unknown ones with `?`; None for none.
        text: the text column; None takes the one that the table carries, or `comment_text`.
        most: characters shown of a text.
        masked: show the texts as `mask` gives them.

    Returns:
        HTML for `IPython.display.HTML`.

    Examples:
        >>> import pandas as pd
        >>> from helpers import text
        >>> frame = pd.DataFrame({"comment_text": ["<b>Fool!</b>"], "toxic": [1]})
        >>> print(text.as_html(frame, labels=["toxic"]))
        <ul ...><li><b>toxic</b> <span ...>&lt;b&gt;Fool!&lt;/b&gt;</span></li></ul>
    """
    from helpers.datasets.columns import column_list, comment_texts, label_matrix  # which imports this module

    names = [] if labels is None else column_list("labels", labels)
    verdicts = [_verdict(row, names) for row in label_matrix(frame, names)] if names else [""] * len(frame)
    items = []
    for verdict, whole in zip(verdicts, comment_texts(frame, text), strict=True):
        head = f"<b>{html.escape(verdict)}</b> " if names else ""
        cut = whole[:most] + ("…" if len(whole) > most else "")
        shown = html.escape(mask(cut) if masked else cut)
        items.append(f"<li>{head}<span style='white-space: pre-wrap'>{shown}</span></li>")
    return f"<ul class='mathjax_ignore tex2jax_ignore'>{''.join(items)}</ul>"


def _verdict(row: np.ndarray, labels: Sequence[str]) -> str:
    tags = [str(label) for label, value in zip(labels, row, strict=True) if value == 1]
    unknown = [f"{label}?" for label, value in zip(labels, row, strict=True) if np.isnan(value)]
    return ", ".join(tags + unknown) or "clean"
