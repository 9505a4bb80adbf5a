"""Load tables of comments: the bundled sample, Kaggle's Jigsaw files as they come, any CSV with other labels."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from helpers import config
from helpers.arguments import check_count, check_path
from helpers.datasets.labels import OnEmpty, check_columns, check_frame, column_list, tidy
from helpers.datasets.reading import DataError, RawFile, find_file, parse_csv, read_file, rows_in_words

JIGSAW_LABELS = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")
JIGSAW_ROWS = 159_571
JIGSAW_HASHES = {
    "7c2081f2e2f02d79d354c359a41e84bcec7cc92f": "train.csv",
    "8b736d48a6983c68249611f52a6fd6ca57f7967d": "test.csv",
}
_OUTER_ZIP = "jigsaw-toxic-comment-classification-challenge.zip"
_OWN_DEFAULTS: dict[str, Any] = {
    "labels": None,
    "text": "comment_text",
    "id": "id",
    "drop": [],
    "allow_unknown": False,
    "encoding": "utf-8",
}
_ADVICE = (
    "Fetch it with your own Kaggle account: python -m helpers download jigsaw\n"
    "or put Kaggle's files into data/jigsaw/, or name a folder that holds jigsaw/ in COURSE_DATA"
)


def load_comments(
    source: str | Path = "sample",
    *,
    subset: str = "train",
    labels: Sequence[str] | None = None,
    text: str = "comment_text",
    id: str | None = "id",
    keep: Sequence[str] = (),
    drop: Sequence[str] = (),
    on_empty: OnEmpty = "error",
    allow_unknown: bool = False,
    encoding: str = "utf-8",
) -> pd.DataFrame:
    r"""Load and validate a table of comments.

    Args:
        source: `sample` (bundled, authored), `jigsaw` (Kaggle's files, looked for as `config.data_folders` says), or
            the path of a `.csv` or `.zip` file of your own.
        subset: `train` or `test`, for `jigsaw` only. Kaggle's test labels of -1 become NaN.
        labels: label columns; None takes Jigsaw's six, or in a file of your own every column that has no other role.
        text: the column that holds the text.
        id: the column that holds a unique id, empty ones are numbered; None numbers all rows.
        keep: further columns to carry along, after the labels.
        drop: further columns to leave out.
        on_empty: `error` or `drop` rows without text.
        allow_unknown: accept -1 and empty label cells as unknown (NaN).
        encoding: of the file.

    Returns:
        `id`, `comment_text`, one column per label (int8, or float32 where NaN marks an unknown one), `keep`.
        `attrs["text"]` and `attrs["labels"]` name the columns, see `as_comments`; `attrs["source"]` says in words what
        was loaded, and whether it is a whole Kaggle file or a part.

    Raises:
        FileNotFoundError: no such file, or Jigsaw's files are not there; the message says how to get them.
        DataError: the file cannot be trusted; the message names file, row, column, and what to do.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import datasets
        >>> datasets.load_comments("sample").attrs["source"]
        'bundled sample: 8,000 rows'
        >>> _ = Path("mine.csv").write_text("message,rude\nThank you,0\nGo away,1\n")
        >>> datasets.load_comments("mine.csv", text="message", id=None)
              id comment_text  rude
        0  row-1    Thank you     0
        1  row-2      Go away     1
        >>> _ = Path("mine.csv").write_text("message,rude\nThank you,0\nGo away,maybe\n")
        >>> datasets.load_comments("mine.csv", text="message", id=None)
        Traceback (most recent call last):
            ...
        helpers.datasets.reading.DataError: mine.csv: row 2: column rude holds 'maybe' where a label is 0 or 1. ...
    """
    if not isinstance(source, str):
        hint = "; datasets.as_comments names the columns of a table in memory"
        source = check_path("source", source, hint if isinstance(source, pd.DataFrame) else "")
    for name, column in {"text": text, "id": "" if id is None else id}.items():
        if not isinstance(column, str):
            raise DataError(f"{name}={column!r}: expected the name of a column")
    keep, drop = column_list("keep", keep), column_list("drop", drop)
    labels = labels if labels is None else column_list("labels", labels)
    options: dict[str, Any] = {"keep": keep, "on_empty": on_empty}
    own = {"labels": labels, "text": text, "id": id, "drop": drop, "allow_unknown": allow_unknown, "encoding": encoding}
    if source in ("sample", "jigsaw") and (changed := [name for name in own if own[name] != _OWN_DEFAULTS[name]]):
        raise DataError(f"{', '.join(changed)} cannot be set for {source!r}, whose columns are known; leave it out")
    if source != "jigsaw" and subset != "train":
        raise DataError(f"subset={subset!r} goes with 'jigsaw' only, which has two files")
    if source == "sample":
        path = find_file(
            config.bundled_folders(),
            ["comments.csv"],
            "It is part of the course's repository: git checkout data/comments.csv",
        )
        return _load(read_file(path), "bundled sample", JIGSAW_LABELS, **options)
    if source != "jigsaw":
        raw = read_file(source)
        frame = parse_csv(raw, text_columns=[c for c in (id, text) if c], encoding=encoding)
        roles = [c for c in (id, text) if c]
        if labels is None:
            labels = [c for c in frame.columns if c not in (*roles, *keep, *drop)]
        check_columns(raw.name, frame.columns, [*roles, *labels, *keep], drop)
        if not labels:
            raise DataError(f"{raw.name}: no label column beside {', '.join(roles)}")
        names: dict[str, Any] = {"text": text, "id_column": id, "labels": labels, "allow_unknown": allow_unknown}
        return _told(tidy(frame, raw.name, **names, **options), Path(source).name)
    if subset == "train":
        return _load(_jigsaw_file("train.csv"), "Jigsaw", JIGSAW_LABELS, **options)
    if subset == "test":
        return _load_jigsaw_test(**options)
    raise DataError(f"subset {subset!r} does not exist: Jigsaw has 'train' and 'test'")


def subsample(comments: pd.DataFrame, rows: int | None, *, seed: int = 0) -> pd.DataFrame:
    """Draw at most so many rows at random; those drawn keep the order that they have in the table.

    Args:
        comments: a table with any columns and any index; `attrs["source"]` says what was drawn.
        rows: how many at most; None for all.
        seed: of the draw.

    Returns:
        The rows drawn, numbered from 0; the table itself where it has no more rows than that.

    Raises:
        ValueError: rows below 1 or no whole number.

    Examples:
        >>> from helpers import datasets
        >>> few = datasets.subsample(datasets.load_comments(), 100)
        >>> len(few), few.attrs["source"]
        (100, 'bundled sample: 8,000 rows, 100 of them drawn')
    """
    check_frame(comments, "comments")
    seed = check_count("seed", seed, at_least=0, at_most=2**32 - 1)
    if rows is None or len(comments) <= check_count("rows", rows):
        return comments
    positions = pd.RangeIndex(len(comments)).to_series().sample(rows, random_state=seed).sort_values()
    drawn = comments.iloc[positions.to_numpy()].reset_index(drop=True)
    drawn.attrs["source"] = f"{comments.attrs.get('source', 'a table')}, {rows:,} of them drawn"
    return drawn


def _load(raw: RawFile, title: str, labels: Sequence[str], keep: Sequence[str], on_empty: OnEmpty) -> pd.DataFrame:
    frame = parse_csv(raw, text_columns=["id", "comment_text"])
    check_columns(raw.name, frame.columns, ["id", "comment_text", *labels, *keep], ["train_row", "part"])
    result = tidy(frame, raw.name, text="comment_text", id_column="id", labels=labels, keep=keep, on_empty=on_empty)
    return _told(result, _origin(raw, title, len(frame)))


def _origin(raw: RawFile, title: str, rows: int) -> str:
    if title != "Jigsaw":
        return title
    whole = JIGSAW_HASHES.get(raw.git_blob_hash())
    return f"Jigsaw {whole}, whole" if whole else f"part of Jigsaw train.csv, which has {JIGSAW_ROWS:,} rows"


def _told(frame: pd.DataFrame, origin: str) -> pd.DataFrame:
    frame.attrs["source"] = f"{origin}: {len(frame):,} rows"
    return frame


def _jigsaw_file(name: str) -> RawFile:
    folders = [folder / "jigsaw" for folder in config.data_folders()]
    path = find_file(folders, [name, f"{name}.zip", _OUTER_ZIP], _ADVICE)
    return read_file(path, member=name if path.suffix == ".zip" else None)


def _load_jigsaw_test(keep: Sequence[str], on_empty: OnEmpty) -> pd.DataFrame:
    texts, answers = _jigsaw_file("test.csv"), _jigsaw_file("test_labels.csv")
    comments = parse_csv(texts, text_columns=["id", "comment_text"])
    check_columns(texts.name, comments.columns, ["id", "comment_text", *keep])
    labels = parse_csv(answers, text_columns=["id"])
    check_columns(answers.name, labels.columns, ["id", *JIGSAW_LABELS])
    unmatched = set(comments["id"]) ^ set(labels["id"])
    if unmatched or len(comments) != len(labels):
        example = f", such as {min(unmatched)}" if unmatched else ""
        raise DataError(
            f"{texts.name} has {len(comments):,} rows and {answers.name} {len(labels):,}; {len(unmatched):,} ids "
            f"stand in one of them only{example}. Both must come from the same download"
        )
    frame = comments.merge(labels, on="id", validate="one_to_one")
    result = tidy(
        frame,
        texts.name,
        text="comment_text",
        id_column="id",
        labels=JIGSAW_LABELS,
        keep=keep,
        on_empty=on_empty,
        allow_unknown=True,
    )
    whole = JIGSAW_HASHES.get(texts.git_blob_hash())
    return _told(result, f"Jigsaw {whole}, whole" if whole else "part of Jigsaw test.csv")


IDENTITY_ROWS = 76_564
IDENTITY_HASH = "e0a0d7233c3b724b3e8b56522486671ad20a66c3"
_NAMES = ["bias_madlibs_77k.csv", "bias_madlibs_77k.csv.zip", "bias_madlibs_77k.zip"]
_IDENTITY_ADVICE = (
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
        raw = read_file(find_file([folder / "identity" for folder in config.data_folders()], _NAMES, _IDENTITY_ADVICE))
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
        result = frame["toxic"].iloc[bad[0]]
        raise DataError(f"{raw.name}: {rows_in_words(bad)}: column Label holds {result!r} where it is BAD or NOT_BAD")
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


N_FEATURES, LABELS = 12, ("a", "b", "c", "d", "e")
SHA256 = "4fe27e79e33ed66b1b2a2e67c6a7efb03dfc8cf8c385d93229b057aa69124ee0"


def load_synthetic() -> tuple[np.ndarray, np.ndarray]:
    """Ten thousand rows with five labels that do not exclude each other, drawn by scikit-learn.

    They are `make_multilabel_classification(n_samples=10_000, n_features=12, n_classes=5, n_labels=2, random_state=1)`,
    stored in data/synthetic.csv because that call takes half a minute.

    Returns:
        Features (10000, 12) float64, counts; labels (10000, 5) int64 of 0 and 1.

    Raises:
        FileNotFoundError: the course's `data` folder is not there.
        DataError: the file is not what it was.

    Examples:
        >>> from helpers import datasets
        >>> features, labels = datasets.load_synthetic()
        >>> features.shape, labels.shape, labels[0].tolist()
        ((10000, 12), (10000, 5), [1, 1, 0, 1, 1])
    """
    advice = "It is part of the course's repository: git checkout data/synthetic.csv"
    raw = read_file(find_file(config.bundled_folders(), ["synthetic.csv"], advice))
    frame = parse_csv(raw, text_columns=[])
    expected = [*(f"f{index}" for index in range(1, N_FEATURES + 1)), *LABELS]
    if list(frame.columns) != expected or len(frame) != 10_000:
        raise DataError(f"{raw.name}: {len(frame):,} rows of {list(frame.columns)}, not 10,000 of {expected}. {advice}")
    if hashlib.sha256(raw.content.replace(b"\r\n", b"\n")).hexdigest() != SHA256:
        raise DataError(f"{raw.name}: some of its numbers were changed. {advice}")
    return frame.iloc[:, :N_FEATURES].to_numpy(dtype=np.float64), frame[list(LABELS)].to_numpy(dtype=np.int64)
