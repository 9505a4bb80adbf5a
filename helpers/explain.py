"""Explain a prediction: what each token contributed to a logit, and a test whether that means anything.

An attribution is a claim: "this token raised the logit by so much". `token_attributions` makes it by integrated
gradients (captum), `deletion_curve` tests it: take the claimed tokens away, and see whether the logit falls.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from helpers.arguments import check_choice, check_count
from helpers.models.bert import BertTagger
from helpers.models.encoders import longest_input
from helpers.tagger_settings import Keep

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

AT_ONCE = 8  # points of the way, or texts, in one batch


def token_attributions(
    tagger: BertTagger,
    tokenizer: "PreTrainedTokenizerBase",
    text: str,
    *,
    label: int,
    max_length: int = 128,
    keep: Keep = "head",
    steps: int = 32,
) -> pd.DataFrame:
    """Attribute a label's logit to the tokens of a text, by integrated gradients (Sundararajan et al. 2017).

    The gradients are averaged along the way from a text in which every token is padding (but `[CLS]` and `[SEP]`) to
    this one, at the encoder's table of word vectors; so the attributions add up to the difference of the two logits,
    all but for an error that more `steps` make smaller.

    Args:
        tagger: on any device; its weights are left alone, and it is read in evaluation mode.
        tokenizer: of its encoder, a fast one.
        text: one text.
        label: number of the logit, from 0.
        max_length: where the text is truncated, as in training.
        keep: what is left of a text that is truncated, its `head` or its `tail`.
        steps: points along the way, at least 1.

    Returns:
        One row per token, special tokens included: `token`, `id`, `word` (number of its word, -1 for special
        tokens), `start` and `end` (its characters in the text), `attribution`. `attrs` hold the `text`, its `logit`,
        the `baseline` (the logit of padding) and the `error` (sum of the attributions less the logits' difference).

    Raises:
        ValueError: several texts, or half a character in one; a label that the tagger does not have; steps below 1; a
            slow tokenizer; another `keep`; a limit that leaves no room for words or is beyond what the encoder reads.

    Examples:
        >>> from transformers import BertConfig, BertModel
        >>> from helpers import explain, models, text
        >>> settings = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
        >>> tagger = models.BertTagger(BertModel(settings), 1)  # to be fine-tuned first, or it has nothing to say
        >>> table = explain.token_attributions(tagger, text.load_tokenizer(), "You are unkind.", label=0, steps=8)
        >>> table["token"].tolist()
        ['[CLS]', 'you', 'are', 'un', '##kind', '.', '[SEP]']
        >>> bool(abs(table.attrs["error"]) < 0.1)  # they add up to the logit, less that of padding
        True
    """
    _check_label(tagger, label)
    check_count("steps", steps)
    check_choice("keep", keep, ("head", "tail"))
    table = _tokens(tokenizer, text, max_length, keep, longest_input(tagger.encoder))
    ids = torch.tensor([table["id"].tolist()], device=tagger.head.weight.device)
    words = torch.tensor([(table["word"] >= 0).tolist()], device=ids.device)
    base = ids.masked_fill(words, tokenizer.pad_token_id or 0)
    with _evaluating(tagger):
        table["attribution"], logit, baseline = _integrated_gradients(tagger, ids, base, label, steps)
    error = float(table["attribution"].sum() - (logit - baseline))
    table.attrs = {"text": text, "logit": logit, "baseline": baseline, "error": error}
    return table


def word_attributions(tokens: pd.DataFrame) -> pd.DataFrame:
    """Sum the attributions of each word's tokens, for people to read.

    Args:
        tokens: of `token_attributions`.

    Returns:
        One row per word in the order of the text: `word`, `start`, `end`, `attribution`; special tokens are left out.

    Raises:
        ValueError: the table has lost its text, `tokens.attrs["text"]`, as a file makes it.

    Examples:
        >>> import pandas as pd
        >>> from helpers import explain
        >>> tokens = pd.DataFrame({"word": [-1, 0, 1, 1, -1], "start": [0, 0, 4, 6, 0], "end": [0, 3, 6, 10, 0]})
        >>> tokens["attribution"] = [0.0, 0.25, 0.5, 1.0, 0.0]
        >>> tokens.attrs["text"] = "You unkind"
        >>> explain.word_attributions(tokens)
             word  start  end  attribution
        0     You      0    3         0.25
        1  unkind      4   10         1.50
    """
    if "text" not in tokens.attrs:
        raise ValueError('the tokens have lost their text: put it into tokens.attrs["text"]')
    parts = tokens[tokens["word"] >= 0].groupby("word")
    table = parts.agg(start=("start", "min"), end=("end", "max"), attribution=("attribution", "sum"))
    words = [tokens.attrs["text"][start:end] for start, end in zip(table["start"], table["end"], strict=True)]
    return table.assign(word=words)[["word", "start", "end", "attribution"]].reset_index(drop=True)


def deletion_curve(
    tagger: BertTagger, tokens: pd.DataFrame, *, label: int, order: Sequence[int] | None = None, most: int | None = None
) -> pd.Series:
    """Measure the label's logit while token after token is taken out of the text (deletion test, Petsiuk et al. 2018).

    If the attributions mean anything, taking out what they name lowers the logit faster than taking out other tokens.

    Args:
        tagger: that the attributions are about.
        tokens: of `token_attributions`.
        label: number of the logit, from 0.
        order: places in `tokens`, from 0, in the order of their taking, special tokens not among them; None takes the
            largest attribution first.
        most: how many are taken at most; None takes all.

    Returns:
        The logit by the number of tokens taken, from 0.

    Raises:
        ValueError: a label that the tagger does not have; a place that is a special token's or does not exist, or that
            comes twice; `most` below 0.

    Examples:
        >>> from transformers import BertConfig, BertModel
        >>> from helpers import explain, models, text
        >>> settings = BertConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
        >>> tagger = models.BertTagger(BertModel(settings), 1)
        >>> tokens = explain.token_attributions(tagger, text.load_tokenizer(), "You are unkind.", label=0, steps=8)
        >>> curve = explain.deletion_curve(tagger, tokens, label=0, most=3)
        >>> curve.index.tolist(), bool(abs(curve[0] - tokens.attrs["logit"]) < 1e-4)
        ([0, 1, 2, 3], True)
    """
    _check_label(tagger, label)
    real = np.flatnonzero(tokens["word"] >= 0)
    largest_first = real[np.argsort(-tokens["attribution"].to_numpy()[real], kind="stable")]
    chosen = pd.Series(list(largest_first if order is None else order), dtype=object)
    if bad := chosen[~chosen.isin(real) | chosen.duplicated()].tolist():
        raise ValueError(f"order: places {bad} are special tokens', do not exist, or come twice")
    if most is not None:
        check_count("most", most, at_least=0)
    taken, ids = chosen.astype(int).to_numpy()[:most], tokens["id"].to_numpy()
    rows = [np.delete(ids, taken[:count]) for count in range(len(taken) + 1)]
    with _evaluating(tagger):
        return pd.Series(_logits(tagger, rows, label), name="logit").rename_axis("tokens taken")


def _check_label(tagger: BertTagger, label: int) -> None:
    check_count("label", label, at_least=0, at_most=tagger.head.out_features - 1)


@contextmanager
def _evaluating(tagger: BertTagger) -> Iterator[None]:
    """In evaluation mode; afterwards every part is in the mode it was in."""
    before = {module: module.training for module in tagger.modules()}
    tagger.eval()
    try:
        yield
    finally:
        for module, training in before.items():
            module.training = training


def _tokens(
    tokenizer: "PreTrainedTokenizerBase", text: str, max_length: int, keep: Keep, longest: int | None
) -> pd.DataFrame:
    if not getattr(tokenizer, "is_fast", False):
        raise ValueError(f"{type(tokenizer).__name__} does not say where a token stands: take a fast tokenizer")
    longest = int(min(tokenizer.model_max_length, longest if longest is not None else 10**9))
    check_count("max_length", max_length, at_least=tokenizer.num_special_tokens_to_add() + 1, at_most=longest)
    if not isinstance(text, str) or any("\ud800" <= letter <= "\udfff" for letter in text):
        raise ValueError(f"text must be one text of whole characters, not {text!r:.200} ({type(text).__name__})")
    before, tokenizer.truncation_side = tokenizer.truncation_side, {"head": "right", "tail": "left"}[keep]
    try:
        result = tokenizer(text, truncation=True, max_length=max_length, return_offsets_mapping=True)
    finally:
        tokenizer.truncation_side = before
    words = [-1 if word is None else word for word in result.word_ids()]
    start, end = zip(*result["offset_mapping"], strict=True)
    names = tokenizer.convert_ids_to_tokens(result["input_ids"])
    columns = {"token": names, "id": result["input_ids"], "word": words, "start": start, "end": end}
    return pd.DataFrame(columns)


def _integrated_gradients(
    tagger: BertTagger, ids: Tensor, base: Tensor, label: int, steps: int
) -> tuple[np.ndarray, float, float]:
    """Attributions (T,) of token ids (1, T), and the logits of these and of the baseline.

    The tagger is given word vectors: from ids of padding some encoders would count other positions.
    """
    from captum.attr import IntegratedGradients

    def logit(vectors: Tensor) -> Tensor:
        mask = torch.ones(vectors.shape[:2], dtype=torch.long, device=vectors.device)
        return tagger(input_ids=None, attention_mask=mask, inputs_embeds=vectors)[:, label]

    with torch.inference_mode(mode=False), torch.no_grad():  # captum turns gradients on for itself
        vectors, start = (tagger.encoder.get_input_embeddings()(one) for one in (ids, base))
        options = {"baselines": start, "n_steps": steps, "internal_batch_size": AT_ONCE}
        attributions = IntegratedGradients(logit).attribute(vectors, **options)
        ends = torch.cat([logit(vectors), logit(start)]).tolist()
    return attributions.sum(dim=-1)[0].cpu().double().numpy(), *ends


def _logits(tagger: BertTagger, rows: list[np.ndarray], label: int) -> list[float]:
    """One logit for each row of ids, the rows padded to the longest in small batches."""
    result, device = [], tagger.head.weight.device
    with torch.inference_mode():
        for start in range(0, len(rows), AT_ONCE):
            part = [torch.as_tensor(row, device=device) for row in rows[start : start + AT_ONCE]]
            ids = pad_sequence(part, batch_first=True)
            mask = pad_sequence([torch.ones_like(row) for row in part], batch_first=True)
            result += tagger(input_ids=ids, attention_mask=mask)[:, label].tolist()
    return result
