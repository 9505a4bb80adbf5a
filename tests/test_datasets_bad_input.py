"""Every bad input is refused with a message that says what is wrong, where, and what to do."""

import zipfile

import pandas as pd
import pytest

from helpers import datasets
from helpers.datasets.reading import MAX_BYTES, DataError, read_file

HEADER = "id,comment_text,rude\n"


def assert_refused(call, *fragments):
    """The call raises DataError and its message holds every fragment."""
    with pytest.raises(DataError) as caught:
        call()
    for fragment in fragments:
        assert fragment in str(caught.value), f"{fragment!r} is not in: {caught.value}"


CASES = {
    "column twice": (b"id,comment_text,rude,rude\n1,a,0,1\n", ["column rude appears twice in the header"]),
    "column without a name": (b",id,comment_text,rude\n0,1,a,0\n", ["column 1 has no name", "saved index"]),
    "semicolons": (b"id;comment_text;rude\n1;a;0\n", ["expected comma-separated columns, found ';'"]),
    "label called id": (b"key,message,id\n1,a,0\n", ["missing column comment_text", "found key, message, id"]),
    "empty file": (b" \n", ["the file is empty"]),
    "header only": (HEADER.encode(), ["a header and no rows"]),
    "missing column": (b"id,rude\n1,0\n", ["missing column comment_text", "found id, rude", "text="]),
    "missing columns": (b"a,rude\n1,0\n", ["missing columns id, comment_text", "id="]),
    "no label column": (b"id,comment_text\n1,a\n", ["no label column beside id, comment_text"]),
    "label not 0 or 1": (
        (HEADER + "1,a,0\n2,b,2\n").encode(),
        ["row 2", "column rude holds '2'", "0 or 1", "labels=[...]"],
    ),
    "label in words": ((HEADER + "1,a,yes\n2,b,0\n").encode(), ["row 1", "holds 'yes'"]),
    "unknown label": ((HEADER + "1,a,-1\n2,b,0\n").encode(), ["row 1", "holds '-1'", "allow_unknown=True"]),
    "empty label": ((HEADER + "1,a,0\n2,b,\n").encode(), ["row 2", "holds ''", "allow_unknown=True"]),
    "empty text": (
        (HEADER + "1,a,0\n2,,1\n3, ,1\n").encode(),
        ["2 rows (2, 3)", "comment_text is empty", "on_empty='drop'"],
    ),
    "duplicate ids": ((HEADER + "1,a,0\n2,b,1\n1,c,1\n").encode(), ["id '1' stands in 2 rows (1, 3)", "id=None"]),
    "wrong encoding": ((HEADER + "1,ok,0\n2,café,1\n").encode("latin-1"), ["line 3", "not utf-8", "encoding='cp1252'"]),
    "utf-16": ((HEADER + "1,a,0\n").encode("utf-16"), ["line 1", "encoding='utf-16'"]),
    "open quote": ((HEADER + '1,"a,0\n2,b,1\n').encode(), ["not a readable CSV file", "never closed"]),
    "too many fields": ((HEADER + "1,a,0\n2,b,c,1\n").encode(), ["not a readable CSV file", "line 3"]),
    "more fields than names": ((HEADER + "1,a,0,9\n2,b,1,9\n").encode(), ["more fields than the header names"]),
    "cut off in a row": ((HEADER + "1,a,0\n2,b").encode(), ["row 2", "fewer fields", "cut off"]),
}


@pytest.mark.parametrize("case", CASES)
def test_bad_csv(case, tmp_path):
    content, fragments = CASES[case]
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    assert_refused(lambda: datasets.load_comments(path), str(path), *fragments)


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.csv: no such file\. Correct the path"):
        datasets.load_comments(tmp_path / "nothing.csv")


def test_extra_columns_in_a_file_with_named_labels(comments_file):
    path = comments_file(author=["x"] * 4)
    assert_refused(
        lambda: datasets.load_comments(path, labels=list(datasets.loading.JIGSAW_LABELS)),
        "extra column author",
        "keep=[...]",
        "drop=[...]",
    )


def test_a_column_that_is_no_label_in_a_file_of_ones_own(comments_file):
    assert_refused(
        lambda: datasets.load_comments(comments_file(author=["x"] * 4)), "column author holds 'x'", "labels=[...]"
    )


def test_extra_column_in_jigsaw(comments_file, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    comments_file("jigsaw/train.csv", score=[1] * 4)
    assert_refused(lambda: datasets.load_comments("jigsaw"), "train.csv", "extra column score")


def test_unknown_encoding(comments_file):
    assert_refused(
        lambda: datasets.load_comments(comments_file(), encoding="utf-nine"), "encoding 'utf-nine' is unknown"
    )


def test_unknown_subset(comments_file, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="subset='dev': expected 'train' or 'test'"):
        datasets.load_comments("jigsaw", subset="dev")


def test_jigsaw_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    monkeypatch.setattr("helpers.config.repository_folder", lambda: None)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError) as caught:
        datasets.load_comments("jigsaw")
    assert "python -m helpers download jigsaw" in str(caught.value)
    assert str(tmp_path / "jigsaw") in str(caught.value)


def test_jigsaw_test_files_from_two_downloads(comments_file, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    comments_file("jigsaw/test.csv", drop=datasets.loading.JIGSAW_LABELS)
    comments_file("jigsaw/test_labels.csv", drop=["comment_text"], id=["a", "b", "c", "d"])
    assert_refused(
        lambda: datasets.load_comments("jigsaw", subset="test"), "8 ids stand in one of them only", "same download"
    )


def test_roles_that_would_overwrite_each_other(tmp_path):
    path = tmp_path / "mine.csv"
    path.write_text("key,message,comment_text,id\n1,a,b,0\n2,c,d,1\n")
    names = {"id": "key", "text": "message"}
    assert_refused(
        lambda: datasets.load_comments(path, keep=["comment_text"], labels=["id"], **names), "comment_text, id would"
    )
    assert_refused(
        lambda: datasets.load_comments(path, drop=["comment_text"], **names), "id would appear twice", "rename"
    )
    reviews = tmp_path / "reviews.csv"
    reviews.write_text("review,sentiment,positive\na,1,9\nb,0,8\n")
    assert_refused(lambda: datasets.load_reviews(reviews, keep=["positive"]), "'positive' is taken by the label")


def test_a_kept_column_that_is_a_label(comments_file):
    assert_refused(
        lambda: datasets.load_comments(
            comments_file(drop=datasets.loading.JIGSAW_LABELS[1:]), keep=["toxic"], labels=["toxic"]
        ),
        "toxic would appear twice",
    )


def test_an_option_that_does_not_exist_or_does_not_apply(comments_file):
    with pytest.raises(ValueError, match="on_empty='skip': expected 'error' or 'drop'"):
        datasets.load_comments(comments_file(), on_empty="skip")
    assert_refused(
        lambda: datasets.load_comments("sample", labels=["toxic"], text="x"), "labels, text cannot be set for 'sample'"
    )
    assert_refused(
        lambda: datasets.load_comments(comments_file(), subset="test"), "subset='test' goes with 'jigsaw' only"
    )


@pytest.mark.parametrize("place", [60, 300, 700])
def test_a_damaged_compressed_zip(comments_file, tmp_path, place):
    path = tmp_path / "comments.csv.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(comments_file(rows=400), "comments.csv")
    content = bytearray(path.read_bytes())
    content[place] ^= 255
    content[place + 1] ^= 255
    path.write_bytes(content)
    assert_refused(lambda: datasets.load_comments(path), "corrupt zip file")


def test_a_zip_that_packs_its_folder(comments_file, tmp_path):
    path = tmp_path / "packed.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("./", "")
        archive.write(comments_file(), "comments.csv")
        archive.writestr("._comments.csv", "left by another system")
    assert len(datasets.load_comments(path)) == 4


@pytest.mark.parametrize("cut", [0.3, 0.6, 0.95])
def test_a_truncated_zip(comments_file, tmp_path, cut):
    source = comments_file(rows=400)
    path = tmp_path / "comments.csv.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(source, source.name)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * cut)])
    assert_refused(lambda: datasets.load_comments(path), str(path), "corrupt zip file", "download it again")


def test_a_damaged_zip(comments_file, tmp_path):
    source = comments_file(rows=400)
    path = tmp_path / "comments.csv.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.write(source, source.name)
    content = bytearray(path.read_bytes())
    content[500] ^= 255
    path.write_bytes(content)
    assert_refused(lambda: datasets.load_comments(path), "corrupt zip file", "CRC")


@pytest.mark.parametrize("name", ["../evil.csv", "/etc/evil.csv", "a/../../evil.csv", "..\\evil.csv", "C:/evil.csv"])
def test_a_zip_member_outside_the_folder(comments_file, tmp_path, name):
    path = tmp_path / "evil.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo(name), HEADER + "1,a,0\n")
    assert_refused(lambda: datasets.load_comments(path), "points outside the folder", "do not use this file")


def test_a_zip_with_no_or_several_csv_files(comments_file, tmp_path):
    path = tmp_path / "several.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.csv", HEADER)
        archive.writestr("b.csv", HEADER)
    assert_refused(lambda: datasets.load_comments(path), "expected one CSV file inside, found a.csv, b.csv")


def test_a_zip_that_unpacks_to_more_than_memory_should_hold(tmp_path, monkeypatch):
    assert MAX_BYTES >= 2**30
    monkeypatch.setattr("helpers.datasets.reading.MAX_BYTES", 1000)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", HEADER + "1,a,0\n" * 1000)
    assert_refused(lambda: read_file(path), "unpacks to", "unpack it first")


def test_zip_files_that_hold_zip_files_without_end_are_refused(tmp_path):
    content, name = (HEADER + "1,a,0\n").encode(), "a.csv"
    for _ in range(12):
        with zipfile.ZipFile(tmp_path / "nested.zip", "w") as archive:
            archive.writestr(name, content)
        content, name = (tmp_path / "nested.zip").read_bytes(), "a.csv.zip"
    assert_refused(lambda: read_file(tmp_path / "nested.zip"), "over 10 zip files in each other", "unpack it by hand")


def test_zero_rows_after_a_filter(comments_file):
    assert_refused(
        lambda: datasets.load_comments(comments_file(comment_text=[" "] * 4), on_empty="drop"), "no row has a text"
    )


def test_reviews_without_a_verdict(tmp_path):
    path = tmp_path / "reviews.csv"
    pd.DataFrame({"review": ["a", "b"], "sentiment": ["positive", "so-so"]}).to_csv(path, index=False)
    assert_refused(lambda: datasets.load_reviews(path), "row 2", "holds 'so-so'", "'positive' or 'negative'")


def test_reviews_without_the_column_that_a_subset_needs(tmp_path):
    path = tmp_path / "reviews.csv"
    pd.DataFrame({"review": ["a", "b"], "sentiment": ["1", "0"]}).to_csv(path, index=False)
    assert datasets.load_reviews(path)["positive"].tolist() == [1, 0]
    assert_refused(lambda: datasets.load_reviews(path, subset="train"), "needs a column 'split'")
