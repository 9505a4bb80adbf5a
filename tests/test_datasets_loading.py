import hashlib
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers import datasets
from helpers.datasets import registry
from helpers.datasets.reading import RawFile

LABELS = list(datasets.loading.JIGSAW_LABELS)


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


REAL = os.environ.get("COURSE_DATA")
needs_real = pytest.mark.skipif(not REAL, reason="set COURSE_DATA to a folder with the real data")


def zipped(path: Path, *files: Path, names=None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for place, file in enumerate(files):
            archive.write(file, names[place] if names else file.name)
    return path


def test_some_rows_are_drawn_in_their_order():
    frame = datasets.load_comments()
    some = datasets.subsample(frame, 500)
    assert len(some) == 500
    place = {key: row for row, key in enumerate(frame["id"])}
    assert some["id"].map(place).is_monotonic_increasing
    assert list(some.index) == list(range(500))
    assert some.attrs["source"] == "bundled sample: 8,000 rows, 500 of them drawn"
    pd.testing.assert_frame_equal(some, datasets.subsample(frame, 500))
    assert not some["id"].equals(datasets.subsample(frame, 500, seed=1)["id"])
    assert datasets.subsample(frame, None) is frame
    assert datasets.subsample(frame, 8000) is frame
    with pytest.raises(ValueError, match="rows=0: expected a whole number, at least 1"):
        datasets.subsample(frame, 0)


def test_the_bundled_sample_has_the_contract():
    frame = datasets.load_comments()
    assert list(frame.columns) == ["id", "comment_text", *LABELS]
    assert all(frame[label].dtype == np.int8 for label in LABELS)
    assert datasets.label_names(frame) == LABELS
    assert frame.attrs["source"] == "bundled sample: 8,000 rows"


def test_texts_that_look_like_missing_values_stay_texts(comments_file):
    texts = ["NA", "null", "nan", "None"]
    assert datasets.load_comments(comments_file(comment_text=texts))["comment_text"].tolist() == texts


def test_a_file_of_ones_own_labels(tmp_path):
    path = tmp_path / "tickets.csv"
    path.write_text("key,message,author,billing,urgent\n7,hello,ann,1,0\n8,bye,bob,0.0,1.0\n")
    frame = datasets.load_comments(path, id="key", text="message", keep=["author"])
    assert list(frame.columns) == ["id", "comment_text", "billing", "urgent", "author"]
    assert frame["id"].tolist() == ["7", "8"]
    assert datasets.label_names(frame) == ["billing", "urgent"]
    named = datasets.load_comments(path, id=None, text="message", labels=["urgent"], drop=["author", "key", "billing"])
    assert named["id"].tolist() == ["row-1", "row-2"]
    assert named.attrs["source"] == "tickets.csv: 2 rows"


def test_unknown_labels_become_nan_when_allowed(comments_file):
    frame = datasets.load_comments(comments_file(toxic=["1", "-1", "", "0"]), allow_unknown=True)
    np.testing.assert_array_equal(frame["toxic"], np.array([1, np.nan, np.nan, 0], dtype=np.float32))
    assert frame["insult"].dtype == np.int8
    assert datasets.label_names(frame) == LABELS


def test_empty_ids_are_numbered(comments_file):
    frame = datasets.load_comments(comments_file(id=["a", "", "b", ""]))
    assert frame["id"].tolist() == ["a", "row-2", "b", "row-4"]


def test_empty_texts_can_be_dropped(comments_file):
    frame = datasets.load_comments(comments_file(comment_text=["a", " ", "b", ""]), on_empty="drop")
    assert frame["comment_text"].tolist() == ["a", "b"]
    assert frame.index.tolist() == [0, 1]


def test_another_encoding_can_be_named(tmp_path):
    path = tmp_path / "latin.csv"
    path.write_bytes("id,comment_text,rude\n1,café,0\n2,ok,1\n".encode("cp1252"))
    assert datasets.load_comments(path, encoding="cp1252")["comment_text"][0] == "café"


def test_a_byte_order_mark_does_not_become_part_of_the_first_column(tmp_path):
    path = tmp_path / "excel.csv"
    path.write_bytes(b"\xef\xbb\xbfid,comment_text,rude\n1,a,0\n2,b,1\n")
    assert datasets.load_comments(path).columns[0] == "id"


def test_jigsaw_as_kaggle_ships_it_in_every_wrapping(comments_file, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    plain = comments_file("jigsaw/train.csv")
    as_csv = datasets.load_comments("jigsaw")
    assert as_csv.attrs["source"] == "part of Jigsaw train.csv, which has 159,571 rows: 4 rows"
    inner = zipped(plain.with_name("train.csv.zip"), plain)
    plain.unlink()
    pd.testing.assert_frame_equal(datasets.load_comments("jigsaw"), as_csv)
    zipped(inner.with_name("jigsaw-toxic-comment-classification-challenge.zip"), inner)
    inner.unlink()
    pd.testing.assert_frame_equal(datasets.load_comments("jigsaw"), as_csv)


def test_the_file_of_that_name_is_taken_out_of_a_zip_of_kaggles(comments_file, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    plain, other = comments_file("jigsaw/train.csv"), comments_file("other/valid.csv")
    path = tmp_path / "jigsaw" / "train.csv.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(other, "valid.csv")
        archive.write(plain, "train.csv")
    plain.unlink()
    assert len(datasets.load_comments("jigsaw")) == 4
    zipped(path, other)
    with pytest.raises(datasets.DataError, match=r"expected one CSV file train\.csv inside, found valid\.csv"):
        datasets.load_comments("jigsaw")


def test_a_text_stays_a_text_where_its_column_is_a_label_too(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("message,rude\n1,0\n0,1\n")
    frame = datasets.load_comments(path, text="message", id=None, labels=["message", "rude"])
    assert frame["comment_text"].tolist() == ["1", "0"]


def test_a_whole_kaggle_file_is_recognised_by_its_hash(comments_file, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    path = comments_file("jigsaw/train.csv")
    written = path.read_bytes()
    published = registry.PUBLISHED["train.csv"]._replace(git_hash=git_hash(written))
    monkeypatch.setitem(registry.PUBLISHED, "train.csv", published)
    assert datasets.load_comments("jigsaw").attrs["source"] == "Jigsaw train.csv, whole: 4 rows"


def test_the_hash_is_gits(monkeypatch):
    hello = registry.Published("hello", 1, "ce013625030ba8dba906f756967f9e9ca394464a")
    monkeypatch.setitem(registry.PUBLISHED, "hello.csv", hello)
    assert registry.is_whole(RawFile("hello.csv", b"hello\n"), "hello.csv")
    assert not registry.is_whole(RawFile("hello.csv", b"hello"), "hello.csv")


def test_jigsaws_test_labels_of_minus_one_become_nan(comments_file, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    comments_file("jigsaw/test.csv", drop=LABELS)
    comments_file("jigsaw/test_labels.csv", drop=["comment_text"], **{label: [-1, 1, 0, -1] for label in LABELS})
    frame = datasets.load_comments("jigsaw", subset="test")
    assert frame["toxic"].dtype == np.float32
    np.testing.assert_array_equal(frame[LABELS].isna().all(axis=1), [True, False, False, True])
    assert frame.attrs["source"] == "part of Jigsaw test.csv, which has 153,164 rows: 4 rows"


def test_the_bundled_reviews_have_the_same_contract():
    frame = datasets.load_reviews()
    assert list(frame.columns) == ["id", "comment_text", "positive"]
    assert datasets.label_names(frame) == ["positive"]
    assert frame["id"].is_unique
    assert frame.attrs["source"] == "bundled sample: 2,000 rows"


def test_reviews_with_a_split_column(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    (tmp_path / "imdb").mkdir()
    table = {"review": list("abcd"), "sentiment": ["positive", "negative"] * 2, "split": ["train"] * 3 + ["test"]}
    pd.DataFrame(table).to_csv(tmp_path / "imdb" / "imdb.csv", index=False)
    train = datasets.load_reviews("imdb", subset="train")
    assert train["positive"].tolist() == [1, 0, 1]
    assert train.attrs["source"] == "part of IMDB train, which has 25,000 rows: 3 rows"
    assert "split" in datasets.load_reviews("imdb", keep=["split"]).columns
    with pytest.raises(datasets.DataError, match="no row of subset 'valid'; the column 'split' holds test, train"):
        datasets.load_reviews("imdb", subset="valid")


@needs_real
def test_the_real_jigsaw_rows():
    frame = datasets.load_comments("jigsaw", keep=["part"])
    assert frame["id"].is_unique
    assert frame["comment_text"].str.strip().ne("").all()
    head = frame[frame["part"].eq("head")]
    assert 0.09 < head["toxic"].mean() < 0.11
    assert frame.loc[frame["severe_toxic"].eq(1), "toxic"].eq(1).all()


@needs_real
def test_the_real_imdb_rows():
    assert len(datasets.load_reviews("imdb", subset="train")) == 25_000
    assert datasets.load_reviews("imdb", subset="test")["positive"].mean() == pytest.approx(0.5, abs=0.01)


@needs_real
def test_swapped_parts_of_imdb_are_told_by_their_texts(tmp_path):
    whole = datasets.load_reviews("imdb", keep=["split"]).rename(columns={"comment_text": "review"})
    whole["sentiment"] = whole["positive"].map({1: "positive", 0: "negative"})
    whole = whole[["review", "sentiment", "split"]]
    swapped = whole.assign(split=whole["split"].map({"train": "test", "test": "train"}))
    swapped.to_csv(tmp_path / "imdb.csv", index=False)
    with pytest.raises(
        datasets.DataError, match=r"imdb\.csv: row \d+ is a train row of IMDB, .* the parts are swapped"
    ):
        datasets.load_reviews(tmp_path / "imdb.csv", subset="test")
    for part, other in (("train", "test"), ("test", "train")):
        rows = whole[whole["split"].eq(part)].drop(columns="split")
        rows.to_csv(tmp_path / f"{other}.csv", index=False)
        with pytest.raises(datasets.DataError, match=f"is a {part} row of IMDB, and its name says '{other}'"):
            datasets.load_reviews(tmp_path / f"{other}.csv")
        rows.to_csv(tmp_path / "mine.csv", index=False)
        assert len(datasets.load_reviews(tmp_path / "mine.csv")) == len(rows)
    whole.assign(split=["train", "test"] * (len(whole) // 2)).to_csv(tmp_path / "dealt_anew.csv", index=False)
    datasets.load_reviews(tmp_path / "dealt_anew.csv", subset="test")


def test_landmarks_are_in_no_review_of_the_sample():
    assert registry.imdb_parts(datasets.load_reviews()["comment_text"]) == {}


def test_the_inventory_says_what_is_here_and_how_to_get_the_rest(comments_file, tmp_path, monkeypatch):
    assert datasets.list_datasets()["here"].tolist()[:2] == [True, True]
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    monkeypatch.setattr("helpers.config.repository_folder", lambda: None)
    monkeypatch.chdir(tmp_path)
    shown = datasets.list_datasets()
    assert shown["here"].tolist() == [False] * 4
    assert shown.loc["IMDB reviews", "to get it"] == "python -m helpers download imdb"
    comments_file("jigsaw/train.csv.zip")
    assert datasets.list_datasets().loc["Jigsaw comments", ["here", "file"]].tolist() == [True, "train.csv.zip"]


def test_a_file_of_the_course_is_found_wherever_it_lies_and_another_one_is_refused_with_the_places(
    tmp_path, monkeypatch
):
    assert datasets.bundled_file("tickets.csv").is_file()
    monkeypatch.setattr("helpers.config.PACKAGED_DATA", tmp_path)
    monkeypatch.setattr("helpers.config.repository_folder", lambda: None)
    (tmp_path / "tickets.csv").write_text("ticket,message,late\n1,a,0\n")
    assert datasets.bundled_file("tickets.csv") == tmp_path / "tickets.csv"
    with pytest.raises(FileNotFoundError, match=re.escape(str(tmp_path))):
        datasets.bundled_file("orders.csv")


def test_true_and_false_are_labels_too_and_long_fields_and_a_blank_last_line_are_no_fault(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text(f"id,rude,comment_text,note\n1,True,{'x' * 200_000},\n2,False,b,c\n   \n".replace("   \n", "\n"))
    frame = datasets.load_comments(path, labels=["rude"], keep=["note"])
    assert frame["rude"].tolist() == [1, 0]
    assert frame["note"].tolist() == ["", "c"]
