"""Load template sentences: each sentence once with every group, so that only the name of the group differs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from helpers import config
from helpers.datasets.columns import column_list
from helpers.datasets.reading import DataError, RawFile, find_file, parse_csv, read_file, rows_in_words
from helpers.datasets.validation import check_columns, tidy

IDENTITY_ROWS = 76_564
IDENTITY_HASH = "e0a0d7233c3b724b3e8b56522486671ad20a66c3"
_NAMES = ["bias_madlibs_77k.csv", "bias_madlibs_77k.csv.zip", "bias_madlibs_77k.zip"]
_ADVICE = (
    "It is part of the public repository github.com/conversationai/unintended-ml-bias-analysis (Apache-2.0), among "
    "its eval_datasets:\nput it, plain or zipped, into data/identity/, or name a folder that holds identity/ in "
    "COURSE_DATA"
)
# Where the term stands in the sentences of each template; it may be several words, all that varies beside it is one.
_FRAMES = {
    "verb_adj": r"\S+ (.+)",
    "am_hate_adj": r"i (?:am|hate) (.+)",
    "being_adj": r"Being (.+) is \S+\.",
    "you_are_adj": r"You are an? \S+ (.+)",
    "you_occupation": r"You are an? \S+ (.+)",
    "name_adj": r"\S+ is an? \S+ (.+)",
}


def load_templates(source: str | Path = "sample", *, keep: Sequence[str] = ()) -> pd.DataFrame:
    """Load template sentences, harmless and toxic, for measuring how a model treats the groups that they name.

    Every group stands in the same sentences, as often in toxic as in harmless ones. So a model whose scores differ by
    group has learnt it from the names, not from what is said: see `evaluation.bias_report`. With `pd.get_dummies` the
    column `group` becomes the table that it takes.

    Source: Dixon et al. 2018, Measuring and Mitigating Unintended Bias in Text Classification, who made `identity`.

    Args:
        source: `sample` (bundled, authored, about invented peoples and harmless groups), `identity` (the published set
            bias_madlibs_77k about real groups, with vile words; looked for as `config.data_folders` says), or the path
            of a `.csv` or `.zip` file of your own with the columns `comment_text`, `toxic`, `group`.
        keep: further columns to carry along, such as `template`, which is the same for all that differs in the group
            only (in `identity`, for all sentences of one kind).

    Returns:
        `id`, `comment_text`, `toxic` (int8), `group` (text), `keep`. In `identity` the group is the term, or the
        occupation, that stands in the sentence. `attrs["source"]` says in words what was loaded.

    Raises:
        FileNotFoundError: no such file; the message says where it was looked for and how to get it.
        DataError: the file cannot be trusted; the message names file, row, column.

    Examples:
        >>> from helpers import datasets
        >>> templates = datasets.load_templates()
        >>> list(templates.columns)
        ['id', 'comment_text', 'toxic', 'group']
        >>> templates.groupby("group")["toxic"].mean().unique().tolist()
        [0.5]
    """
    keep = column_list("keep", keep)
    raw, origin = _find(source)
    texts = ["id", "comment_text", "group", "template"]
    frame = _from_madlibs(raw) if source == "identity" else parse_csv(raw, text_columns=texts)
    check_columns(raw.name, frame.columns, ["comment_text", "toxic", "group", *keep], frame.columns)
    if len(empty := np.flatnonzero(frame["group"].str.strip().eq("").to_numpy(dtype=bool))):
        raise DataError(f"{raw.name}: {rows_in_words(empty)}: column group is empty; say which group the text names")
    kept = ["group", *(column for column in keep if column != "group")]
    id_column = "id" if "id" in frame.columns else None
    result = tidy(frame, raw.name, text="comment_text", id_column=id_column, labels=["toxic"], keep=kept)
    result.attrs["source"] = f"{origin}: {len(result):,} rows"
    return result


def _find(source: str | Path) -> tuple[RawFile, str]:
    if source == "sample":
        advice = "It is part of the course's repository: git checkout data/identity_templates.csv"
        return read_file(find_file(config.bundled_folders(), ["identity_templates.csv"], advice)), "bundled templates"
    if source == "identity":
        raw = read_file(find_file([folder / "identity" for folder in config.data_folders()], _NAMES, _ADVICE))
        whole = raw.git_blob_hash() == IDENTITY_HASH
        return raw, "identity templates, whole" if whole else f"part of the {IDENTITY_ROWS:,} identity templates"
    return read_file(source), Path(source).name


def _from_madlibs(raw: RawFile) -> pd.DataFrame:
    """Columns `comment_text`, `toxic`, `template` and `group` from those of the published file."""
    frame = parse_csv(raw, text_columns=["Text", "Label", "Template"])
    check_columns(raw.name, frame.columns, ["Text", "Label", "Template"])
    frame = frame.rename(columns={"Text": "comment_text", "Label": "toxic", "Template": "template"})
    verdicts = frame["toxic"].map({"BAD": 1, "NOT_BAD": 0})
    if len(bad := np.flatnonzero(verdicts.isna().to_numpy())):
        found = frame["toxic"].iloc[bad[0]]
        raise DataError(f"{raw.name}: {rows_in_words(bad)}: column Label holds {found!r} where it is BAD or NOT_BAD")
    return frame.assign(toxic=verdicts.astype(np.int64), group=_terms(frame, raw.name))


def _terms(frame: pd.DataFrame, name: str) -> pd.Series:
    """The term that each sentence is about, from the place that its template gives it."""
    terms = pd.Series("", index=frame.index)
    for template, pattern in _FRAMES.items():
        of_template = frame["template"].eq(template)
        texts = frame.loc[of_template, "comment_text"].str.strip()
        terms[of_template] = texts.str.extract(rf"^{pattern}$", expand=False).fillna("").str.lower()
    if len(bad := np.flatnonzero(terms.eq("").to_numpy())):
        template = frame["template"].iloc[bad[0]]
        raise DataError(
            f"{name}: {rows_in_words(bad)}: the text is no sentence of template {template!r}, so its term cannot be "
            f"told; templates known are {', '.join(_FRAMES)}"
        )
    return terms
