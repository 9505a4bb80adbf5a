"""Load tables of comments, reviews and templates: the bundled samples, the published files, a CSV file of your own."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from helpers.arguments import check_choice, check_names, check_path
from helpers.datasets.labels import TEXT, OnEmpty, check_columns, label_values, tidy
from helpers.datasets.reading import DataError, RawFile, parse_csv, read_file, rows_in_words
from helpers.datasets.registry import IMDB_ROWS, bundled_file, imdb_parts, origin, part_of, read_real_file

JIGSAW_LABELS = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")
_IN_MEMORY = "; datasets.as_comments names the columns of a table in memory"


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
    check_path("source", source, _IN_MEMORY)
    if not isinstance(text, str) or not isinstance(id, str | None):
        raise DataError(f"text={text!r}, id={id!r}: expected the name of a column")
    keep, drop = check_names("keep", keep, empty=True), check_names("drop", drop, empty=True)
    labels = labels if labels is None else check_names("labels", labels)
    if source != "jigsaw" and subset != "train":
        raise DataError(f"subset={subset!r} goes with 'jigsaw' only, which has two files")
    if source in ("sample", "jigsaw"):
        is_set = {"labels": labels is not None, "text": text != TEXT, "id": id != "id", "drop": bool(drop)}
        is_set |= {"allow_unknown": allow_unknown, "encoding": encoding != "utf-8"}
        if changed := [name for name in is_set if is_set[name]]:
            raise DataError(f"{', '.join(changed)} cannot be set for {source!r}, whose columns are known; leave it out")
        labels, drop = JIGSAW_LABELS, ["train_row", "part"]
    if check_choice("subset", subset, ("train", "test")) == "test":
        return _load_jigsaw_test(keep, on_empty)
    raw, title = _find(source, "comments.csv", "jigsaw", "train.csv")
    roles = [column for column in (id, text) if column]
    frame = parse_csv(raw, text_columns=roles, encoding=encoding)
    if labels is None:
        labels = [column for column in frame.columns if column not in (*roles, *keep, *drop)]
    check_columns(raw.name, frame.columns, [*roles, *labels, *keep], drop)
    if not labels:
        raise DataError(f"{raw.name}: no label column beside {', '.join(roles)}")
    options: dict[str, Any] = {"keep": keep, "on_empty": on_empty, "allow_unknown": allow_unknown}
    return _told(tidy(frame, raw.name, text=text, id_column=id, labels=labels, **options), title)


def _find(source: str | Path, sample: str, folder: str, published: str) -> tuple[RawFile, str]:
    """Read the file that a source names: the bundled sample, the published file, or one of the reader's own."""
    check_path("source", source, _IN_MEMORY)
    if source == "sample":
        return read_file(bundled_file(sample)), "bundled sample"
    if source == folder:
        raw = read_real_file(folder, published)
        return raw, origin(raw, published)
    return read_file(source), Path(source).name


def _load_jigsaw_test(keep: Sequence[str], on_empty: OnEmpty) -> pd.DataFrame:
    texts, answers = read_real_file("jigsaw", "test.csv"), read_real_file("jigsaw", "test_labels.csv")
    comments, labels = parse_csv(texts, text_columns=["id", TEXT]), parse_csv(answers, text_columns=["id"])
    check_columns(texts.name, comments.columns, ["id", TEXT, *keep])
    check_columns(answers.name, labels.columns, ["id", *JIGSAW_LABELS])
    unmatched = set(comments["id"]) ^ set(labels["id"])
    if unmatched or len(comments) != len(labels):
        example = f", such as {min(unmatched)}" if unmatched else ""
        raise DataError(
            f"{texts.name} has {len(comments):,} rows and {answers.name} {len(labels):,}; {len(unmatched):,} ids "
            f"stand in one of them only{example}. Both must come from the same download"
        )
    frame = comments.merge(labels, on="id", validate="one_to_one")
    options: dict[str, Any] = {"keep": keep, "on_empty": on_empty, "allow_unknown": True}
    result = tidy(frame, texts.name, text=TEXT, id_column="id", labels=JIGSAW_LABELS, **options)
    return _told(result, origin(texts, "test.csv"))


def _told(frame: pd.DataFrame, title: str) -> pd.DataFrame:
    """Write into `attrs["source"]` what was loaded."""
    frame.attrs["source"] = f"{title}: {len(frame):,} rows"
    return frame


def load_reviews(
    source: str | Path = "sample",
    *,
    subset: str | None = None,
    text: str = "review",
    sentiment: str = "sentiment",
    keep: Sequence[str] = (),
    drop: Sequence[str] = (),
    on_empty: OnEmpty = "error",
    encoding: str = "utf-8",
) -> pd.DataFrame:
    """Load and validate a table of reviews with one label: is the verdict positive?

    Args:
        source: `sample` (bundled, authored), `imdb` (looked for as `config.data_folders` says), or the path of a `.csv`
            or `.zip` file of your own.
        subset: `train` or `test`, where the file has a column `split`; None takes all rows.
        text: the column that holds the text.
        sentiment: the column that holds `positive` and `negative`, or 1 and 0.
        keep: further columns to carry along, after the label.
        drop: further columns to leave out.
        on_empty: `error` or `drop` rows without text.
        encoding: of the file.

    Returns:
        The columns that `load_comments` gives, with the single label `positive` (int8), so that every later function
        takes comments and reviews alike. Ids are row numbers of the file unless it has a column `id`.
        `attrs["source"]` says what was loaded.

    Raises:
        FileNotFoundError: no such file; the message says how to get it.
        DataError: the file cannot be trusted, has no rows of that subset, or calls training rows of IMDB test rows (by
            its column `split`, or by its name where it has none).

    Examples:
        >>> from helpers import datasets
        >>> reviews = datasets.load_reviews()
        >>> list(reviews.columns), round(float(reviews["positive"].mean()), 2)
        (['id', 'comment_text', 'positive'], 0.5)
    """
    keep, drop = check_names("keep", keep, empty=True), check_names("drop", drop, empty=True)
    raw, title = _find(source, "reviews.csv", "imdb", "imdb.csv")
    frame = parse_csv(raw, text_columns=[text, sentiment, "id"], encoding=encoding)
    optional = [column for column in ("id", "split") if column in frame.columns]
    check_columns(raw.name, frame.columns, [text, sentiment, *keep], [*optional, *drop])
    _refuse_swapped(frame, raw.name, text)
    if "positive" in (text, *keep):
        raise DataError(f"{raw.name}: the name 'positive' is taken by the label; rename that column in the file")
    verdicts = label_values(frame[sentiment], sentiment, file=f"{raw.name}: ", words={"positive": 1, "negative": 0})
    carried = [*keep, "split"] if subset and "split" in frame.columns and "split" not in keep else keep
    options: dict[str, Any] = {"id_column": "id" if "id" in optional else None, "keep": carried, "on_empty": on_empty}
    result = tidy(frame.assign(positive=verdicts), raw.name, text=text, labels=["positive"], **options)
    if subset:
        if "split" not in frame.columns:
            raise DataError(f"{raw.name}: subset={subset!r} needs a column 'split', and there is none")
        parts = ", ".join(sorted(map(str, result["split"].unique())))
        result = result[result["split"].eq(subset)].reset_index(drop=True)
        if result.empty:
            raise DataError(f"{raw.name}: no row of subset {subset!r}; the column 'split' holds {parts}")
    if source == "imdb":
        whole = IMDB_ROWS * (1 if subset else 2)
        title = part_of(f"IMDB {subset or 'train and test'}", whole, is_whole=len(result) == whole)
    return _told(result.drop(columns=[column for column in carried if column not in keep]), title)


def _refuse_swapped(frame: pd.DataFrame, name: str, text: str) -> None:
    """IMDB's train and test rows are alike, as many and as many positive; only their texts tell that they were swapped.

    Rows that were dealt anew, so that some are where they were, pass.
    """
    named = re.findall(r"(?<![a-z])(?:train|test)(?![a-z])", re.split(r"[/\\\\]", name)[-1].lower())
    if "split" in frame.columns:
        where, stated = "its column 'split'", frame["split"].astype(str).tolist()
    elif len(named) == 1:
        where, stated = "its name", named * len(frame)
    else:
        return
    known = {row: part for row, part in imdb_parts(frame[text]).items() if stated[row] in ("train", "test")}
    if known and all(stated[row] != part for row, part in known.items()):
        row, part = next(iter(known.items()))
        raise DataError(
            f"{name}: row {row + 1} is a {part} row of IMDB, and {where} says {stated[row]!r}: the parts are swapped"
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
    keep = check_names("keep", keep, empty=True)
    raw, title = _find(source, "identity_templates.csv", "identity", "bias_madlibs_77k.csv")
    texts = ["id", TEXT, "group", "template"]
    frame = _from_madlibs(raw) if source == "identity" else parse_csv(raw, text_columns=texts)
    check_columns(raw.name, frame.columns, [TEXT, "toxic", "group", *keep], frame.columns)
    if len(empty := np.flatnonzero(frame["group"].str.strip().eq("").to_numpy(dtype=bool))):
        raise DataError(f"{raw.name}: {rows_in_words(empty)}: column group is empty; say which group the text names")
    kept = ["group", *(column for column in keep if column != "group")]
    id_column = "id" if "id" in frame.columns else None
    return _told(tidy(frame, raw.name, text=TEXT, id_column=id_column, labels=["toxic"], keep=kept), title)


def _from_madlibs(raw: RawFile) -> pd.DataFrame:
    """Columns `comment_text`, `toxic`, `template` and `group` from those of the published file."""
    frame = parse_csv(raw, text_columns=["Text", "Label", "Template"])
    check_columns(raw.name, frame.columns, ["Text", "Label", "Template"])
    verdicts = label_values(frame["Label"], "Label", file=f"{raw.name}: ", words={"bad": 1, "not_bad": 0})
    frame = frame.rename(columns={"Text": TEXT, "Template": "template"}).assign(toxic=verdicts)
    return frame.assign(group=_terms(frame, raw.name))


def _terms(frame: pd.DataFrame, name: str) -> list[str]:
    """The term that each sentence is about, by where its template puts it."""
    pairs = zip(frame["template"], frame[TEXT], strict=True)
    found = [re.fullmatch(_FRAMES.get(template, "(?!)"), text.strip()) for template, text in pairs]
    terms = ["" if match is None else match[1].lower() for match in found]
    if "" in terms:
        template = frame["template"].iloc[terms.index("")]
        raise DataError(
            f"{name}: {rows_in_words([row for row, term in enumerate(terms) if not term])}: the text is no sentence of "
            f"template {template!r}, so its term is unknown; templates known are {', '.join(_FRAMES)}"
        )
    return terms
