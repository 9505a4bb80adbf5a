"""Texts before a model sees them: cleaning, tokens and their counts, words that mark a label, safe display."""

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import regex

from helpers import config, folders
from helpers.arguments import (
    as_numbers,
    as_texts as as_texts,
    check_count,
    check_number,
    check_path,
    names_other_rows,
    warn,
)

if TYPE_CHECKING:
    from tokenizers import Encoding
    from transformers import PreTrainedTokenizerBase

_STEPS = (
    (regex.compile(r"https?://\S+|www\.\S+"), " url "),
    (regex.compile(r"\b\d{1,3}(?:\.\d{1,3}){3}\b"), " ipaddress "),
    (regex.compile(r"(?<=[\p{L}\p{M}])['’](?=\p{L})"), ""),
    (regex.compile(r"\p{N}+"), " number "),
    (regex.compile(r"[^\p{L}\p{M}\u200c\u200d]+"), " "),
    (
        regex.compile(r"(?<![\p{L}\p{M}\u200c\u200d])[\p{M}\u200c\u200d]+|[\u200c\u200d]+(?![\p{L}\p{M}\u200c\u200d])"),
        " ",
    ),
    (regex.compile(r"(\p{L})\1{2,}"), r"\1\1"),
)

_LEAST_VOCABULARY = 100
LEAST_ROWS = 0.01  # share of the texts that must be unknown before a warning: a stray foreign comment gives none
UNKNOWN_WORDS = 0.4  # share of its words from which a text is mostly unknown; ordinary English has below 0.2
_WORD = regex.compile(r"[\p{L}\p{M}\p{N}]+")

# The token pattern. On ASCII it is `_ASCII_TOKEN`, and where `_SPECIAL` finds nothing `_SIMPLE_TOKEN`: the same tokens,
# several times as fast.
UNSPACED = r"[\p{L}&&[\p{Han}\p{Hiragana}\p{Thai}\p{Lao}\p{Khmer}\p{Myanmar}]]"  # scripts without spaces
_INSIDE = rf"[[\p{{L}}\p{{M}}\p{{N}}]--[\u20e3{UNSPACED}]]"
_TOKEN = regex.compile(
    r"[#*0-9]\u20e3|\p{Regional_Indicator}{1,2}"  # a keycap; a flag
    rf"|{UNSPACED}\p{{M}}*"  # one letter of a script without spaces
    rf"|[[\p{{L}}\p{{N}}]--{UNSPACED}]{_INSIDE}*(?:[\u200c\u200d]+{_INSIDE}+)*"  # a word or a number
    r"|[\p{Extended_Pictographic}\p{Emoji_Modifier}](?:\p{Emoji_Modifier}|[\U000e0020-\U000e007f]+)?"  # an emoji
    r"(?:\u200d\p{Extended_Pictographic}\p{Emoji_Modifier}?)*",
    regex.V1,
)
_SIMPLE_TOKEN = regex.compile(r"[\p{L}\p{N}][\p{L}\p{M}\p{N}]*")
_ASCII_TOKEN = re.compile(r"[a-z0-9]+")
_SPECIAL = re.compile(
    "[©®\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u200c\u200d\u203c\u2049\u20e3\u2100-\u318f\u3192-\uabff"
    "\uf900-\ufaff\U00010000-\U0010ffff]"
)


def normalize(text: str) -> str:
    """Bring a text to one Unicode form and lower case, so that what people read as the same is the same.

    Composed and decomposed accents become one (NFC), lower case is casefold (`Straße` and `STRASSE` become `strasse`),
    and three invisible signs go: the soft hyphen and the two selectors that choose between the black and the coloured
    picture of an emoji.

    Raises:
        ValueError: not one text.

    Examples:
        >>> from helpers import text
        >>> text.normalize("Ame\u0301lie") == text.normalize("AM\u00c9LIE") == "am\u00e9lie"
        True
    """
    _check_one(text)
    if text.isascii():
        return text.lower()
    folded = unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())
    return folded.replace("\ufe0f", "").replace("\ufe0e", "").replace("\u00ad", "")


def tokens(text: str) -> list[str]:
    """Split a text into the tokens that this package counts, in every script: words, numbers and emoji.

    The text is normalized first (`normalize`). Then a token is

    - a word: letters of any script with their accents and vowel signs, and digits; joiners inside a word (Persian,
      Bengali) are part of it. Words of a single letter count. Apostrophes, hyphens, `_` and all other signs separate
      words, as in scikit-learn's default: `don't` is `don` and `t`, which bigrams put together again;
    - an emoji, with its skin tone and all that is joined to it; a flag; a keycap;
    - in scripts that put no spaces between words (Chinese characters, Hiragana, Thai, Lao, Khmer, Burmese) each letter
      with its marks. Finding words there takes a dictionary; single letters with n-grams are the usual baseline.

    Give it to scikit-learn as `CountVectorizer(tokenizer=text.tokens, token_pattern=None)`. The vectorizers' default
    pattern drops words of one letter and emoji, and breaks Hindi, Bengali or Tamil words at each vowel sign.

    Examples:
        >>> from helpers import text
        >>> text.tokens("I don't know 👍🏽")
        ['i', 'don', 't', 'know', '👍🏽']
        >>> text.tokens("हिन्दी में 2 शब्द"), text.tokens("再见!")
        (['हिन्दी', 'में', '2', 'शब्द'], ['再', '见'])
    """
    text = normalize(text)
    if text.isascii():
        return _ASCII_TOKEN.findall(text)
    return (_TOKEN if _SPECIAL.search(text) else _SIMPLE_TOKEN).findall(text)


def _check_one(text: str) -> None:
    if not isinstance(text, str):
        kind = type(text).__name__
        raise ValueError(f"text is of type {kind}: expected one string; apply the function to a column with its map")


def clean_text(text: str) -> str:
    """Bring a text to the plain words that a bag of words counts.

    In this order: one Unicode form (NFKC) and lower case (casefold); web addresses become `url`, IP addresses
    `ipaddress`, numbers `number`; apostrophes inside words vanish (`don't` becomes `dont`); every other sign that is no
    letter or accent, emoji included, becomes a space; a letter repeated three times or more is kept twice (`stoooop`
    becomes `stoop`); spaces are single.

    Letters of every script stay, with their marks and the joiners between them. Cleaning twice changes nothing. It is
    for counts only: BERT's tokenizer was trained on text as people write it, and case, signs and spelling are part of
    what it reads.

    Args:
        text: any text.

    Returns:
        The words, separated by single spaces; "" when there is none.

    Raises:
        ValueError: not one text.

    Examples:
        >>> from helpers import text
        >>> text.clean_text("DON'T!! Stoooop, see www.example.org, all 42 of it")
        'dont stoop see url all number of it'
        >>> text.clean_text(":-)")
        ''
    """
    _check_one(text)
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
        OSError: the encoder cannot be found or is corrupt; the message lists the three ways out.
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
    check_path("encoder", encoder)
    folders.refuse_code(encoder)
    local = Path(encoder).is_dir() or os.environ.get("HF_HUB_OFFLINE") == "1"
    try:
        tokenizer = AutoTokenizer.from_pretrained(encoder, local_files_only=local, trust_remote_code=False)
        tokenizer.init_kwargs.pop("auto_map", None)
        if len(tokenizer) < _LEAST_VOCABULARY:
            raise ValueError(f"its vocabulary has {len(tokenizer)} entries: the files of the tokenizer are missing")
        return tokenizer
    except Exception as error:  # the tokenizers library raises bare Exceptions
        folders.refuse_code_that_was_asked_for(error, encoder)
        raise OSError(
            f"no tokenizer for encoder {str(encoder)!r}. Three ways out: take the packaged {config.PACKAGED_ENCODER}; "
            "name a local folder that holds one; or let transformers fetch it (network on, HF_HUB_OFFLINE unset)"
            f" ({error})"
        ) from error


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
        ValueError: texts as in `as_texts`, a batch size below 1, or a name in place of a tokenizer.

    Examples:
        >>> from helpers import text
        >>> text.token_counts(["hello", "hello there, you"]).tolist()
        [3, 6]
    """
    check_count("batch_size", batch_size)
    texts, counts = as_texts(texts), []
    tokenizer = tokenizer if tokenizer is not None else load_tokenizer()
    if not callable(tokenizer):
        raise ValueError(f"tokenizer: expected what load_tokenizer returns, got a {type(tokenizer).__name__}")
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


def distinctive_words(
    texts: Iterable[str], marked: Iterable[bool], *, prior: float = 500.0, min_df: int = 5
) -> pd.DataFrame:
    """Words that tell two groups of texts apart: log-odds with an informative Dirichlet prior.

    Raw counts favour frequent words and raw ratios favour rare ones. Here each group's word rates are first drawn
    towards the rates of all texts, with the weight of `prior` words, and the log-odds ratio is divided by its standard
    deviation (Monroe, Colaresi, Quinn 2008, "Fightin' Words", equations 15-22). A word counts once a text, so that one
    text that repeats a word 200 times does not decide. Words are those of `tokens`.

    Args:
        texts: N texts, cleaned with `clean_text` or not.
        marked: (N,) True or 1 for texts of the group of interest.
        prior: weight of the prior, in words; above 0.
        min_df: words in fewer texts are left out.

    Returns:
        Indexed by word, strongest mark first: `z` (standard deviations), `marked` and `others` (texts with the word).

    Raises:
        ValueError: texts as in `as_texts`, two Series with different indexes, lengths that differ, an entry of
            `marked` that is unknown, an empty group, fewer than two words in `min_df` texts, a number out of range.

    Examples:
        >>> from helpers import text
        >>> texts = ["you fool", "what a fool", "what a day", "you are kind"]
        >>> table = text.distinctive_words(texts, [True, True, False, False], prior=10, min_df=2)
        >>> table.index.tolist()
        ['fool', 'a', 'what', 'you']
        >>> table.loc["fool", ["marked", "others"]].astype(int).tolist()
        [2, 0]
    """
    from sklearn.feature_extraction.text import CountVectorizer

    check_number("prior", prior, above=0)
    check_count("min_df", min_df)
    chosen, texts = _marks(texts, marked), as_texts(texts)
    if chosen.shape != (len(texts),):
        raise ValueError(f"{len(texts)} texts, and marked has shape {chosen.shape}")
    if not chosen.any() or chosen.all():
        raise ValueError(f"{chosen.sum()} of {len(texts)} texts are marked: both groups need at least one text")
    vectorizer = CountVectorizer(binary=True, analyzer=tokens)
    counts = vectorizer.fit_transform(texts)
    kept = np.asarray(counts.sum(axis=0)).ravel() >= min_df
    if kept.sum() < 2:
        raise ValueError(f"{kept.sum()} words stand in {min_df} texts or more, and two are needed: lower min_df")
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


def _marks(texts: Iterable[str], marked: Iterable[bool]) -> np.ndarray:
    """(N,) bool."""
    indexes = [each.index for each in (texts, marked) if isinstance(each, pd.Series)]
    if len(indexes) == 2 and names_other_rows(*indexes):
        raise ValueError("texts and marked have different indexes: select both from one table, in the same order")
    values = as_numbers("marked", marked)
    if not np.isin(values, (0, 1)).all():
        raise ValueError("marked holds other values than True and False; leave out rows whose label is unknown")
    return values.astype(bool)


def mask(text: str) -> str:
    """The text with all but the first letter of each word replaced by `*`, for a screen that others see.

    Examples:
        >>> from helpers import text
        >>> text.mask("You silly old goat!")
        'Y** s**** o** g***!'
    """
    _check_one(text)
    return _WORD.sub(lambda word: word[0][0] + "*" * (len(word[0]) - 1), text)


def unknown_words(encodings: "Sequence[Encoding]", unknown_id: int | None) -> np.ndarray:
    """Count the words of each text that its tokenizer does not know ([UNK]).

    Args:
        encodings: N texts as a fast tokenizer gives them (`encode_batch_fast` leaves the words out).
        unknown_id: number of the token for unknown words; None where the tokenizer has none, as with bytes.

    Returns:
        (N, 2) int: unknown words, and words; both 0 where no word is unknown, for `mostly_unknown`.

    Examples:
        >>> from helpers import text
        >>> tokenizer = text.load_tokenizer()
        >>> inputs = tokenizer(["no problem", "no 😀"])
        >>> text.unknown_words(inputs.encodings, tokenizer.unk_token_id).tolist()
        [[0, 0], [1, 2]]
    """
    counts = np.zeros((len(encodings), 2), dtype=np.int64)
    for row, encoding in enumerate(encodings):
        if unknown_id in (ids := encoding.ids):
            words = encoding.word_ids
            unknown = {word for word, token in zip(words, ids, strict=True) if token == unknown_id} - {None}
            counts[row] = len(unknown), len(set(words) - {None})
    return counts


def mostly_unknown(counts: np.ndarray) -> np.ndarray:
    """Tell which texts are mostly unknown: (N,) bool from unknown words and words, (N, 2), of `unknown_words`.

    Examples:
        >>> import numpy as np
        >>> from helpers import text
        >>> text.mostly_unknown(np.array([[0, 0], [1, 9], [3, 4]])).tolist()
        [False, False, True]
    """
    return (counts[:, 0] > 0) & (counts[:, 0] >= UNKNOWN_WORDS * counts[:, 1])


def warn_of_unknown(unknown: np.ndarray, *, source: str) -> bool:
    """Warn in one line when texts are mostly unknown to a model: it predicts for them as for an empty text.

    Args:
        unknown: (N,) bool, True where a text is mostly unknown.
        source: where the words are looked for.

    Returns:
        Whether there was a warning.

    Examples:
        >>> import numpy as np, warnings
        >>> from helpers import text
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     _ = text.warn_of_unknown(np.array([False, True]), source="the vocabulary")
        >>> print(caught[0].message)
        1 of 2 texts: most words are not in the vocabulary, so predictions mean little (first: text 1, counted from 0)
    """
    if unknown.sum() < max(1, LEAST_ROWS * len(unknown)):
        return False
    warn(
        f"{unknown.sum():,} of {len(unknown):,} texts: most words are not in {source}, so predictions mean little "
        f"(first: text {unknown.argmax()}, counted from 0)"
    )
    return True
