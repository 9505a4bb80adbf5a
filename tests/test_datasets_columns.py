"""What a label is depends on a name that the table carries or the caller passes, never on a type."""

import json
import pickle
from decimal import Decimal

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings, strategies as st

from helpers import datasets, evaluation, loaders, metrics, models, plots, text, widgets
from helpers.loaders.batches import ArrayRows, SparseRows
from helpers.loaders.tokens import TokenRows

NAMED = datasets.DataError
CELLS = [1, 0, None, 0, 1, None, 1, 0, 0, 0]
KNOWN = [1, 0, 1, 0, 1, 0, 1, 0, 0, 0]
WITHOUT_MISSING = {
    "int8": "int8",
    "int16": "int16",
    "int32": "int32",
    "int64": "int64",
    "uint8": "uint8",
    "uint64": "uint64",
    "bool": "bool",
    "float16": "float16",
    "float32": "float32",
    "sparse": pd.SparseDtype("int64", 0),
}
WITH_MISSING = {
    "float64": lambda: pd.Series(CELLS, dtype="float64"),
    "Int8": lambda: pd.Series(CELLS, dtype="Int8"),
    "Int64": lambda: pd.Series(CELLS, dtype="Int64"),
    "UInt8": lambda: pd.Series(CELLS, dtype="UInt8"),
    "boolean": lambda: pd.Series(CELLS, dtype="boolean"),
    "Float64": lambda: pd.Series(CELLS, dtype="Float64"),
    "int64[pyarrow]": lambda: pd.Series(CELLS, dtype="int64[pyarrow]"),
    "uint8[pyarrow]": lambda: pd.Series(CELLS, dtype="uint8[pyarrow]"),
    "bool[pyarrow]": lambda: pd.Series([None if c is None else bool(c) for c in CELLS], dtype="bool[pyarrow]"),
    "double[pyarrow]": lambda: pd.Series(CELLS, dtype="double[pyarrow]"),
    "category of integers": lambda: pd.Series(pd.Categorical(CELLS)),
    "category of truth values": lambda: pd.Series(pd.Categorical([None if c is None else bool(c) for c in CELLS])),
    "category of words": lambda: pd.Series(pd.Categorical([None if c is None else str(c) for c in CELLS])),
    "objects with None": lambda: pd.Series(CELLS, dtype=object),
    "objects with NA": lambda: pd.Series([pd.NA if c is None else c for c in CELLS], dtype=object),
    "objects with NaN": lambda: pd.Series([np.nan if c is None else np.int16(c) for c in CELLS], dtype=object),
    "truth values as objects": lambda: pd.Series([None if c is None else bool(c) for c in CELLS], dtype=object),
    "decimals": lambda: pd.Series([None if c is None else Decimal(c) for c in CELLS], dtype=object),
    "words": lambda: pd.Series([None if c is None else f" {c}" for c in CELLS], dtype="string"),
    "words with a point": lambda: pd.Series([None if c is None else f"{c}.0" for c in CELLS], dtype=object),
}


def mails(rude, **more) -> pd.DataFrame:
    """A table of ten rows that carries no names, its text in `body`, one label."""
    texts = [f"letter {letter} was sent again today" for letter in "abcdefghij"]
    return pd.DataFrame({"body": texts, "rude": rude, "year": list(range(2016, 2026))} | more)


def columns_of_every_type():
    for name, dtype in WITHOUT_MISSING.items():
        yield pytest.param(pd.Series(KNOWN).astype(dtype), KNOWN, id=name)
    for name, make in WITH_MISSING.items():
        yield pytest.param(make(), CELLS, id=name)


@pytest.mark.parametrize(("column", "expected"), list(columns_of_every_type()))
def test_a_column_of_any_type_is_a_label_everywhere(column, expected):
    frame, expected = mails(column), np.array(expected, dtype=np.float32)
    positives = int((expected == 1).sum())
    matrix = datasets.labels.label_matrix(frame, ["rude"])
    np.testing.assert_array_equal(matrix, expected[:, None])
    assert matrix.dtype == np.float32
    named = datasets.as_comments(frame, text="body", labels=["rude"])
    np.testing.assert_array_equal(named["rude"].to_numpy(dtype=float), expected)
    assert named["rude"].dtype == (np.float32 if np.isnan(expected).any() else np.int8)

    parts = datasets.split(frame, valid=0.2, test=0.2, labels=["rude"])
    assert datasets.label_distribution(parts).loc["rude", ["train", "valid", "test"]].sum() == positives
    assert len(datasets.downsample_negatives(frame, negatives=1, labels=["rude"])) == positives + 1
    assert len(plots.label_counts(frame, labels=["rude"]).patches) == 1
    more = frame.assign(late=column.to_numpy())
    assert widgets.cooccurrence(more, ["rude"], labels=["rude", "late"]).loc["late", "both"] == positives
    explorer = widgets.LabelExplorer(more, ["rude"], labels=["rude", "late"], text="body")
    assert set(explorer.examples()["body"]) <= set(frame["body"][expected == 1])
    assert datasets.as_html(frame, labels=["rude"], text="body").count("<b>clean</b>") == (expected == 0).sum()

    truth, scores = frame[["rude"]], np.linspace(0.1, 0.9, 10)[:, None]
    plain = pd.DataFrame({"rude": expected})
    pd.testing.assert_frame_equal(metrics.label_report(truth, scores), metrics.label_report(plain, scores))
    pd.testing.assert_frame_equal(
        evaluation.bootstrap("auc", truth, scores, n_resamples=20),
        evaluation.bootstrap("auc", plain, scores, n_resamples=20),
    )
    for rows in (
        ArrayRows({"features": np.zeros((10, 1))}, truth),
        SparseRows(np.eye(10), truth),
        TokenRows(loaders.tokenize(frame["body"], text.load_tokenizer()), truth),
    ):
        np.testing.assert_array_equal(rows.labels, expected[:, None])
    assert models.CountTagger(min_df=1).fit(frame["body"], truth).labels == ["rude"]
    plt.close("all")


@pytest.mark.parametrize(
    ("column", "found"),
    [
        (pd.Series([0, 1, 2] + [0] * 7), "'2'"),
        (pd.Series([0, 1, 0.5] + [0] * 7), "'0.5'"),
        (pd.Series([0, 1, np.inf] + [0] * 7), "'inf'"),
        (pd.Series([0, 1, "yes"] + [0] * 7), "'yes'"),
        (pd.Series(["0", "1", ""] + ["0"] * 7), "''"),
        (pd.Series([0, 1, -1] + [0] * 7, dtype="Int64"), "'-1'.*allow_unknown=True"),
        (pd.Series(pd.Categorical([0, 1, 3] + [0] * 7)), "'3'"),
        (pd.Series([0, 1, 1j] + [0] * 7), "'0j'"),
        (pd.Series([0, 1, [1]] + [0] * 7), r"'\[1\]'"),
        (pd.Series(pd.to_datetime(["2026-01-01"] * 10)), "'2026-01-01"),
    ],
)
@pytest.mark.parametrize(
    "ask",
    [
        lambda frame: datasets.as_comments(frame, text="body", labels=["rude"]),
        lambda frame: datasets.split(frame, labels=["rude"]),
        lambda frame: datasets.downsample_negatives(frame, labels=["rude"], negatives=1),
        lambda frame: plots.label_counts(frame, labels=["rude"]),
        lambda frame: widgets.cooccurrence(frame, [], labels=["rude"]),
    ],
    ids=["as_comments", "split", "balance", "label_counts", "company"],
)
def test_other_values_are_refused_with_row_and_column(column, found, ask):
    with pytest.raises(NAMED, match=rf"column rude holds {found}") as caught:
        ask(mails(column))
    assert "row 3:" in str(caught.value) or "rows (" in str(caught.value)


def test_minus_one_and_empty_texts_are_unknown_when_that_is_allowed():
    frame = mails([0, 1, -1] + [0] * 7, late=["0", "", "1"] + ["0"] * 7)
    named = datasets.as_comments(frame, text="body", labels=["rude", "late"], allow_unknown=True)
    assert named["rude"].isna().sum() == named["late"].isna().sum() == 1
    assert frame["late"].iloc[1] == "", "the caller's table was changed"


def test_a_column_that_is_added_is_no_label():
    comments = datasets.load_comments().head(500)
    labels = datasets.label_names(comments)
    comments["long"] = comments["comment_text"].str.len().gt(200).astype("int8")
    comments["score"] = np.arange(500, dtype=np.float32)
    comments["question"] = comments["comment_text"].str.contains("?", regex=False)
    assert datasets.label_names(comments) == labels
    parts = datasets.split(comments)
    assert all(datasets.label_names(part) == labels for part in parts)
    assert list(datasets.label_distribution(parts).index) == ["rows", *labels]
    more = datasets.as_comments(comments, labels=[*labels, "long"])
    assert datasets.label_names(more) == [*labels, "long"]
    assert datasets.label_names(comments) == labels


def test_a_table_from_a_csv_file_is_refused_with_the_way_out(tmp_path):
    mails(KNOWN).to_csv(tmp_path / "mails.csv", index=False)
    frame = pd.read_csv(tmp_path / "mails.csv")
    for ask in (
        datasets.label_names,
        datasets.labels.label_matrix,
        datasets.split,
        plots.label_counts,
        lambda frame: datasets.downsample_negatives(frame, negatives=1),
        lambda frame: widgets.cooccurrence(frame, []),
        widgets.LabelExplorer,
    ):
        with pytest.raises(NAMED, match=r"does not say which .* labels=\['rude'\], or .*datasets\.as_comments"):
            ask(frame)
    with pytest.raises(NAMED, match=r"no text column 'comment_text': the table has \['body', .*text=\.\.\."):
        datasets.as_comments(frame, labels=["rude"])
    named = datasets.as_comments(frame, text="body", labels=["rude"])
    assert datasets.label_names(named) == ["rude"]
    assert datasets.labels.text_column(named) == "body"
    assert list(named.columns) == list(frame.columns)
    assert frame.attrs == {}


def test_labels_may_come_from_a_generator():
    frame = mails(KNOWN, late=KNOWN)
    parts = datasets.split(frame, valid=0.2, test=0.2, labels=(name for name in ("rude", "late")))
    assert datasets.label_names(parts.train) == ["rude", "late"]
    assert len(datasets.downsample_negatives(frame, negatives=1, labels=iter(["rude"]))) == 5
    assert datasets.label_distribution(parts, labels=iter(["late"])).index.tolist() == ["rows", "late"]


@pytest.mark.parametrize(
    "labels",
    [["rude"], ("rude",), np.array(["rude"]), pd.Index(["rude"]), pd.Series(["rude"]), iter(["rude"])],
)
def test_label_names_come_in_any_kind_of_list(labels):
    assert datasets.label_names(mails(KNOWN), labels) == ["rude"]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ("rude", r"labels='rude': expected a list of different names, such as \['rude'\]"),
        (7, "labels is a int: expected a list of different names"),
        ([], r"labels=\[\]: expected a list of different names"),
        ({"rude", "year"}, "labels is a set: expected a list of different names"),
        (["rude", "rude"], r"labels=\['rude', 'rude'\]: expected a list of different names"),
        ([["rude"]], "expected a list of different names"),
        (["Rude"], r"labels \['Rude'\] are no columns: the table has \['body', 'rude', 'year'\]"),
        (["year"], "column year holds '2016'"),
    ],
)
def test_bad_lists_of_labels_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        datasets.as_comments(mails(KNOWN), text="body", labels=labels)


def test_a_column_has_one_role():
    with pytest.raises(NAMED, match="'body' cannot be both the text and a label"):
        datasets.as_comments(mails(KNOWN), text="body", labels=["body"])
    with pytest.raises(NAMED, match="column 'rude' appears more than once in the table"):
        datasets.label_names(pd.concat([mails(KNOWN), mails(KNOWN)[["rude"]]], axis=1), ["rude"])
    with pytest.raises(NAMED, match="column 'body' appears more than once in the table"):
        datasets.labels.text_column(pd.concat([mails(KNOWN), mails(KNOWN)[["body"]]], axis=1), "body")
    with pytest.raises(ValueError, match="frame is a list: expected a DataFrame"):
        datasets.split([{"body": "a", "rude": 1}])


def test_names_that_are_no_text_are_names_too():
    frame = mails(KNOWN).rename(columns={"rude": 0, "body": ("mail", "body")})
    named = datasets.as_comments(frame, text=("mail", "body"), labels=[np.int64(0)])
    assert datasets.label_names(named) == [0]
    assert len(datasets.split(named, valid=0.2, test=0.2, groups="near-duplicates").test) > 0
    assert datasets.label_distribution(datasets.split(named, valid=0.2, test=0.2)).index.tolist() == ["rows", 0]
    json.dumps(named.attrs)  # as Parquet files keep them


def test_names_of_columns_that_are_gone_are_refused_by_name():
    named = datasets.as_comments(mails(KNOWN, late=KNOWN), text="body", labels=["rude", "late"])
    for gone in (named.drop(columns="late"), named.rename(columns={"late": "tardy"}), named[["body", "rude"]]):
        for ask in (datasets.label_names, datasets.split, plots.label_counts):
            with pytest.raises(NAMED, match=r"labels \['late'\] were dropped or renamed: the table has"):
                ask(gone)
        parts = datasets.split(gone, valid=0.2, test=0.2, labels=["rude"])
        assert datasets.label_names(parts.test) == ["rude"], "the parts carry names that hold"
    with pytest.raises(NAMED, match="no text column 'body'"):
        datasets.split(named.rename(columns={"body": "comment_text"}), groups="duplicates")


def test_names_survive_what_pandas_keeps(tmp_path):
    named = datasets.as_comments(mails(KNOWN), text="body", labels=["rude"])
    named.to_parquet(tmp_path / "mails.parquet")
    kept = {
        "choice of rows": named[named["rude"].eq(1)],
        "sample": named.sample(5, random_state=0),
        "reset_index": named.set_index("year").reset_index(),
        "assign": named.assign(length=1),
        "concat": pd.concat([named, named.head(2)], ignore_index=True),
        "groupby": named.groupby("rude").head(2),
        "pickle": pickle.loads(pickle.dumps(named)),
        "parquet": pd.read_parquet(tmp_path / "mails.parquet"),
    }
    for way, frame in kept.items():
        assert datasets.label_names(frame) == ["rude"], way
        assert datasets.labels.text_column(frame) == "body", way
    drawn = datasets.subsample(named, 5)
    mixed = pd.concat([named, drawn])  # their attrs differ in `source`, so pandas drops them
    with pytest.raises(NAMED, match="does not say which of its columns are labels"):
        datasets.label_names(mixed)
    assert datasets.label_names(datasets.as_comments(mixed, text="body", labels=["rude"])) == ["rude"]


def test_every_function_passes_the_names_on():
    named = datasets.as_comments(mails(KNOWN), text="body", labels=["rude"])
    tables = [
        datasets.subsample(named, 5),
        datasets.downsample_negatives(named, negatives=2),
        *datasets.split(named, valid=0.2, test=0.2),
    ]
    plain = mails(KNOWN)
    tables += [datasets.downsample_negatives(plain, negatives=2, labels=["rude"])]
    tables += datasets.split(plain, valid=0.2, test=0.2, labels=["rude"], text="body")
    for frame in tables:
        assert datasets.label_names(frame) == ["rude"]
    assert [datasets.labels.text_column(frame) for frame in tables[:5] + tables[-3:]] == ["body"] * 8
    tables[0].attrs["labels"].append("year")
    tables[2].attrs["labels"].append("year")
    assert named.attrs["labels"] == ["rude"], "a part shares its list of names with the table"
    narrow = datasets.split(datasets.load_comments(), labels=["toxic"])
    assert len(datasets.label_names(narrow.train)) == 6, "labels= says what to stratify by"


def test_loaders_of_data_name_the_columns():
    assert datasets.label_names(datasets.load_reviews()) == ["positive"]
    assert datasets.label_names(datasets.load_templates()) == ["toxic"]
    assert datasets.labels.text_column(datasets.load_reviews()) == "comment_text"
    kept = datasets.load_templates(keep=["identity_hate"]).astype({"identity_hate": "int8"})
    assert datasets.label_names(kept) == ["toxic"]


def test_near_duplicates_are_found_in_the_text_column_that_is_named():
    body = [f"{'one two three four five six seven eight nine ten eleven twelve'} {word}" for word in "ab"] * 5 + list(
        "klmnopqrst"
    )
    frame = pd.DataFrame({"body": body, "comment_text": [f"text number {i}" for i in range(20)], "rude": [0, 1] * 10})
    for options in ({"labels": ["rude"], "text": "body"}, {}):
        table = frame if options else datasets.as_comments(frame, text="body", labels=["rude"])
        parts = datasets.split(table, valid=0.25, test=0.25, groups="near-duplicates", **options)
        assert sum(part["body"].str.startswith("one").any() for part in parts) == 1
    with pytest.raises(NAMED, match=r"no text column 'subject': the table has \['body', 'comment_text', 'rude'\]"):
        datasets.split(frame, labels=["rude"], text="subject", groups="duplicates")


@pytest.mark.parametrize("cell", [None, np.nan, pd.NA, 7, b"bytes"])
def test_a_row_without_a_text_is_named(cell):
    frame = mails(KNOWN).astype({"body": object})
    frame.loc[3, "body"] = cell
    for ask in (
        lambda: datasets.as_comments(frame, text="body", labels=["rude"]),
        lambda: datasets.split(frame, labels=["rude"], text="body", groups="duplicates"),
        lambda: datasets.as_html(frame, text="body"),
        lambda: widgets.LabelExplorer(frame, labels=["rude"], text="body"),
    ):
        with pytest.raises(NAMED, match="row 4: column body"):
            ask()


def test_empty_texts_are_refused_or_dropped():
    frame = mails(KNOWN).astype({"body": object})
    frame.loc[[3, 5], "body"] = [" \n", None]
    with pytest.raises(NAMED, match="row 4: column body is empty; pass on_empty='drop'"):
        datasets.as_comments(frame, text="body", labels=["rude"])
    frame["rude"] = frame["rude"].astype(object)
    frame.loc[[3, 5], "rude"] = ["", "not asked"]  # rows that are dropped need no labels
    kept = datasets.as_comments(frame, text="body", labels=["rude"], on_empty="drop")
    assert kept.index.tolist() == [0, 1, 2, 4, 6, 7, 8, 9]
    assert kept["rude"].dtype == np.int8
    with pytest.raises(NAMED, match="no row has a text"):
        datasets.as_comments(frame.loc[[3, 5]], text="body", labels=["rude"], on_empty="drop")
    with pytest.raises(ValueError, match="on_empty='skip': expected 'error' or 'drop'"):
        datasets.as_comments(frame, text="body", labels=["rude"], on_empty="skip")


INDEXES = {
    "unsorted": lambda n: np.random.default_rng(0).permutation(n),
    "repeated": lambda n: np.zeros(n, dtype=int),
    "descending": lambda n: np.arange(n)[::-1],
    "texts": lambda n: [f"row {n - i}" for i in range(n)],
    "missing": lambda n: [None] * n,
    "several levels": lambda n: pd.MultiIndex.from_arrays([np.arange(n) % 3, np.arange(n)[::-1]]),
    "dates": lambda n: pd.to_datetime(["2026-01-01"] * n),
}


@pytest.mark.parametrize("kind", INDEXES)
def test_rows_are_told_by_their_place_whatever_the_index(kind):
    n = 300
    plain = pd.DataFrame({"comment_text": [f"text {i}" for i in range(n)], "rude": np.arange(n) % 5 == 0})
    plain = datasets.as_comments(plain, labels=["rude"])
    other = plain.set_axis(INDEXES[kind](n))
    for ask in (
        lambda frame: datasets.subsample(frame, 50, seed=3),
        lambda frame: datasets.downsample_negatives(frame, negatives=20),
        lambda frame: datasets.split(frame, groups="near-duplicates").test,
        lambda frame: datasets.split(frame, groups=np.arange(n) // 2).valid,
    ):
        pd.testing.assert_frame_equal(ask(other), ask(plain))
    order = datasets.subsample(other, 50, seed=3)["comment_text"].str.removeprefix("text ").astype(int)
    assert order.is_monotonic_increasing


@given(st.permutations(range(40)), st.integers(1, 39), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_a_draw_keeps_the_order_of_the_table(order, rows, seed):
    frame = pd.DataFrame({"place": range(40)}, index=order)
    drawn = datasets.subsample(frame, np.int64(rows), seed=seed)
    assert len(drawn) == rows
    assert drawn["place"].is_monotonic_increasing
    assert drawn["place"].is_unique


def test_group_names_in_another_order_than_the_rows_are_refused():
    frame = datasets.as_comments(mails(KNOWN), text="body", labels=["rude"])
    authors = pd.Series(list("aabbccddee"))
    shuffled = frame.sample(frac=1, random_state=1)
    with pytest.raises(NAMED, match=r"groups has another index than the table.*to_numpy\(\)"):
        datasets.split(shuffled, groups=authors)
    parts = datasets.split(shuffled, valid=0.2, test=0.2, groups=authors[shuffled.index])
    sides = [set(authors[part["year"] - 2016]) for part in parts]
    assert sum(map(len, sides)) == 5


@pytest.mark.parametrize(
    "ask",
    [
        lambda frame: datasets.subsample(frame, 2.5),
        lambda frame: datasets.subsample(frame, True),
        lambda frame: datasets.subsample(frame, -1),
        lambda frame: datasets.subsample(frame, 3, seed=-1),
        lambda frame: datasets.subsample(frame, 3, seed=0.5),
        lambda frame: datasets.downsample_negatives(frame, negatives=2.0),
        lambda frame: datasets.downsample_negatives(frame, negatives=-1),
        lambda frame: datasets.downsample_negatives(frame, negatives=1, seed="a"),
        lambda frame: datasets.split(frame, valid="0.1"),
        lambda frame: datasets.split(frame, valid=float("inf")),
        lambda frame: datasets.split(frame, valid=-0.1),
        lambda frame: datasets.split(frame, seed=1.0),
        lambda frame: datasets.near_duplicate_groups(frame["body"], threshold=float("nan")),
        lambda frame: datasets.near_duplicate_groups(frame["body"], threshold="high"),
        lambda frame: datasets.near_duplicate_groups(frame["body"], seed=-1),
    ],
)
def test_numbers_are_checked(ask):
    with pytest.raises(ValueError, match=r"^(rows|seed|negatives|valid|threshold)=.*: expected a (whole )?number"):
        ask(datasets.as_comments(mails(KNOWN), text="body", labels=["rude"]))


def test_options_that_change_nothing_are_no_options():
    whole = datasets.load_comments("sample", drop=[], labels=None, keep=[])
    pd.testing.assert_frame_equal(whole, datasets.load_comments())
    with pytest.raises(NAMED, match="drop cannot be set for 'sample'"):
        datasets.load_comments("sample", drop=["toxic"])
    for load, options in (
        (datasets.load_comments, {"keep": "toxic"}),
        (datasets.load_comments, {"drop": "toxic"}),
        (datasets.load_comments, {"labels": "toxic"}),
        (datasets.load_reviews, {"keep": "split"}),
        (datasets.load_templates, {"keep": "template"}),
    ):
        [(name, value)] = options.items()
        with pytest.raises(ValueError, match=rf"{name}='{value}': expected a list of different names"):
            load(**options)


def test_truth_values_with_gaps_are_read_from_files(tmp_path):
    path = tmp_path / "mails.csv"
    path.write_text("id,comment_text,rude\n1,a,True\n2,b,\n3,c,FALSE\n")
    frame = datasets.load_comments(path, allow_unknown=True)
    np.testing.assert_array_equal(frame["rude"], np.array([1, np.nan, 0], dtype=np.float32))


def test_loaders_take_nullable_labels_and_keep_soft_ones():
    frame = mails(pd.array(CELLS, dtype="Int64"), soft=np.linspace(0, 1, 10))
    tokens = loaders.tokenize(frame["body"], text.load_tokenizer())
    loader = loaders.token_loader(tokens, frame[["rude", "soft"]], batch_size=10, bucket=False)
    [(_, labels)] = list(loader)
    assert labels.dtype == torch.float32
    np.testing.assert_array_equal(labels[:, 0], np.array(CELLS, dtype=np.float32))
    np.testing.assert_allclose(labels[:, 1], np.linspace(0, 1, 10), rtol=1e-6)
    with pytest.raises(ValueError, match=r"labels of type DataFrame .* row 0 \(from 0\), column 'body' is 'letter a"):
        loaders.token_loader(tokens, frame[["rude", "body"]])


def test_marked_texts_may_be_told_by_a_nullable_column():
    frame = mails(pd.array(KNOWN, dtype="boolean"))
    table = text.distinctive_words(frame["body"], frame["rude"], min_df=2)
    assert table.index.tolist() == text.distinctive_words(frame["body"], KNOWN, min_df=2).index.tolist()
    with pytest.raises(ValueError, match="leave out rows whose label is unknown"):
        text.distinctive_words(frame["body"], pd.array(CELLS, dtype="boolean"), min_df=2)
