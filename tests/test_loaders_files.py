"""Token ids on disk: made once, the same as in memory, refused where they cannot be trusted; shared and taken up."""

import os
import time
from collections import Counter
from itertools import islice

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from helpers import datasets, loaders, text
from helpers.datasets import DataError
from helpers.loaders import tables

LABELS = ["rude", "kind"]


@pytest.fixture(scope="module")
def tokenizer():
    return text.load_tokenizer()


@pytest.fixture(scope="module")
def table():
    comments = datasets.load_comments("sample").head(1_237)
    rows = pd.DataFrame({"id": comments["id"], "comment_text": comments["comment_text"]})
    rows["rude"], rows["kind"] = comments["toxic"], np.arange(len(rows)) % 3 - 1
    rows.loc[0, "comment_text"] = "NA"
    return rows


def write(table, path):
    table.to_parquet(path) if path.suffix == ".parquet" else table.to_csv(path, index=False)
    return path


def rows_of(batches):
    """Every row as token ids and labels, with how often it came."""
    found = Counter()
    for inputs, labels in batches:
        for ids, mask, marks in zip(inputs["input_ids"], inputs["attention_mask"], labels, strict=True):
            found[tuple(ids[mask.bool()].tolist()), str(marks.tolist())] += 1
    return found


@pytest.fixture(scope="module", params=["rows.csv", "rows.parquet"])
def tokens(request, table, tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return loaders.tokenize_files(write(table, folder / request.param), tokenizer, cache=folder / "c", max_tokens=32)


def test_rows_are_those_of_a_table_in_memory(tokens, table, tokenizer):
    made = loaders.tokenize(table["comment_text"], tokenizer, max_tokens=32)
    assert tokens.labels == LABELS
    assert tokens.cut == made.cut > 0
    assert max(tokens.rows) - min(tokens.rows) <= 1
    expected = rows_of(loaders.token_loader(made, table[LABELS]))
    assert rows_of(loaders.file_loader(tokens)) == expected
    assert rows_of(loaders.file_loader(tokens, shuffle=True, bucket=False)) == expected
    assert rows_of(loaders.StreamLoader(loaders.TokenStream(tokens, 30, shuffle=True))) == expected
    assert rows_of(loaders.StreamLoader(loaders.TokenStream(tokens, 30, shuffle=False))) == expected


@pytest.mark.parametrize("ranks", [2, 3, 16, 40])
@pytest.mark.parametrize("way", ["file_loader", "stream"])
def test_processes_share_all_rows_in_equally_many_batches(tokens, ranks, way):
    size, found, batches = 3 * ranks, Counter(), []
    for rank in range(ranks):
        options = {"batch_size": size, "shuffle": True, "rank": rank, "ranks": ranks}
        if way == "stream":
            stream = loaders.TokenStream(tokens, pool=4, **options)
            batches.append(list(loaders.StreamLoader(stream)))
            assert len(batches[-1]) == len(stream)
        else:
            batches.append(list(loaders.file_loader(tokens, **options)))
        found += rows_of(batches[-1])
    assert found == rows_of(loaders.file_loader(tokens))
    assert len({len(own) for own in batches}) == 1
    assert max(len(labels) for own in batches for _, labels in own) == 3


@pytest.mark.parametrize("skip", [0, 1, 17])
@pytest.mark.parametrize("way", ["file_loader", "stream"])
def test_an_epoch_is_taken_up_in_its_middle(tokens, skip, way):
    def loader():
        if way == "stream":
            return loaders.StreamLoader(loaders.TokenStream(tokens, 32, shuffle=True, pool=5))
        return loaders.file_loader(tokens, shuffle=True)

    first = loader()
    first.load_state_dict({"epoch": 3, "batches": 0})
    whole = list(first)
    assert first.state_dict().items() >= {"epoch": 4, "batches": 0}.items()
    broken, again = loader(), loader()
    broken.load_state_dict({"epoch": 3, "batches": 0})
    batches = list(islice(broken, skip))
    assert broken.state_dict().items() >= {"epoch": 3, "batches": skip}.items()
    again.load_state_dict({"epoch": 3, "batches": skip})
    rest = list(again)
    assert len(batches) + len(rest) == len(whole)
    for (one, _), (other, _) in zip(whole, batches + rest, strict=True):
        assert torch.equal(one["input_ids"], other["input_ids"])


def test_epochs_differ_and_a_stream_mixes_its_file(tokens):
    stream = loaders.StreamLoader(loaders.TokenStream(tokens, 32, shuffle=True))
    one = [inputs["input_ids"].tolist() for inputs, _ in stream]
    stream.set_epoch(1)
    assert one != [inputs["input_ids"].tolist() for inputs, _ in stream]


def test_what_was_made_is_opened_and_what_changed_is_made_anew(table, tokenizer, tmp_path):
    path = write(table.head(50), tmp_path / "rows.csv")
    first = loaders.tokenize_files(path, tokenizer, cache=tmp_path / "c")
    stamp = first.files[0].stat().st_mtime_ns
    again = loaders.tokenize_files(path, tokenizer, cache=tmp_path / "c")
    assert again == first
    assert again.files[0].stat().st_mtime_ns == stamp
    folders = {first.folder}
    for changed in ({"max_tokens": 64}, {"labels": ["kind"]}, {"shards": 3}):
        folders.add(loaders.tokenize_files(path, tokenizer, cache=tmp_path / "c", **changed).folder)
    write(table.head(51), path)
    folders.add(loaders.tokenize_files(path, tokenizer, cache=tmp_path / "c").folder)
    assert len(folders) == 5
    assert not list((tmp_path / "c").glob(".making-*"))


def test_a_broken_making_leaves_nothing_behind(table, tokenizer, tmp_path):
    path = write(table.head(1_100).assign(rude=[*[0] * 1_099, 7]), tmp_path / "rows.csv")
    with pytest.raises(DataError, match=r"rows.csv: row 1100: column rude holds '7'"):
        loaders.tokenize_files(path, tokenizer, cache=tmp_path / "c")
    assert not list((tmp_path / "c").iterdir())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"comment_text": ["a", " ", "b"]}, "row 2: column comment_text is empty"),
        ({"rude": ["0", "yes", "1"]}, "row 2: column rude holds 'yes'.*name the label columns"),
        ({"rude": [0, 1, 0.5]}, "row 3: column rude holds '?0.5"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_bad_cells_are_named(change, message, kind, tokenizer, tmp_path):
    rows = pd.DataFrame({"comment_text": ["a", "b", "c"], "rude": [0, 1, 0]}).assign(**change)
    path = write(rows, tmp_path / f"rows.{kind}")
    with pytest.raises(DataError, match=message):
        loaders.tokenize_files(path, tokenizer, cache=tmp_path / "c")


def test_bad_files_are_named(tokenizer, tmp_path, table):
    def make(path, **options):
        return loaders.tokenize_files(path, tokenizer, cache=tmp_path / "c", **options)

    with pytest.raises(FileNotFoundError, match=r"gone.csv: no such file"):
        make(tmp_path / "gone.csv")
    (tmp_path / "rows.json").write_text("{}")
    with pytest.raises(DataError, match=r"rows.json: a .csv or a .parquet file is needed"):
        make(tmp_path / "rows.json")
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"torn.parquet: not a readable parquet file"):
        make(tmp_path / "torn.parquet")
    path = write(table.head(5), tmp_path / "rows.csv")
    with pytest.raises(DataError, match=r"rows.csv: missing column message; found id, comment_text"):
        make(path, text="message")
    with pytest.raises(DataError, match="missing column cruel"):
        make(path, labels=["cruel"])
    with pytest.raises(DataError, match="no label column beside comment_text, id, rude, kind"):
        make(path, ignore=["id", "rude", "kind"])
    with pytest.raises(DataError, match=r"empty.csv: no rows"):
        make(write(table.head(0), tmp_path / "empty.csv"))
    with pytest.raises(ValueError, match="shards=0"):
        make(path, shards=0)
    with pytest.raises(FileNotFoundError, match=r"index.json is missing: make the folder"):
        loaders.open_tokens(tmp_path)
    made = make(path)
    made.files[0].unlink()
    with pytest.raises(FileNotFoundError, match=r"tokens-00000.arrow is missing: delete"):
        make(path)
    with pytest.raises(ValueError, match="see the docstring"):
        loaders.TokenStream(made, 3, shuffle=True, ranks=2)
    with pytest.raises(ValueError, match="rank=2: expected a whole number, from 0 to 1"):
        loaders.EpochBatchSampler(5, 2, shuffle=True, rank=2, ranks=2)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("hello there,0,", r"row 1: more fields than the header names \(3 for 2\); quote texts"),
        ("hello, there,0", "row 1: more fields"),
        ("fine,0\nyou fool", r"row 2: fewer fields than the header names \(1 for 2\); the file may be cut off"),
        ("fine,0\n\n,", "row 2: column comment_text is empty"),
        ('fine,0\n"open,0', "row 2: not readable as CSV .*end of data"),
        ('"fine" or not,0', "row 1: not readable as CSV .*double the quotes"),
        ("fine,0\na,b,c,d,0", "row 2: more fields"),
        ("fine,0\n\udce9,1", "row 2: not UTF-8; save the file as UTF-8"),
        ("fine,0\n\udced\udca0\udc80,1", "row 2: not UTF-8"),  # half a pair of surrogates
    ],
)
def test_a_malformed_csv_file_is_refused_by_name_and_row(lines, message, tokenizer, tmp_path):
    (tmp_path / "bad.csv").write_bytes(f"comment_text,toxic\n{lines}\n".encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=rf"bad.csv: {message}"):
        loaders.tokenize_files(tmp_path / "bad.csv", tokenizer, cache=tmp_path / "c")


@pytest.mark.parametrize("rows", [2, 3, 4, 5, 7])
def test_a_row_too_long_is_refused_wherever_a_batch_begins(rows, tmp_path):
    (tmp_path / "bad.csv").write_text("comment_text,toxic\n" + "fine,0\n\n" * rows + "9,too,many,fields\nfine,1\n")
    seen = []
    with pytest.raises(DataError, match=rf"bad.csv: row {rows + 1}: more fields .* quote texts"):
        for cells in tables.read_columns(tmp_path / "bad.csv", ["toxic"], batch_rows=2):
            seen += cells["toxic"]
    assert seen == ["0"] * (rows - rows % 2)


def test_a_row_that_is_not_utf8_or_cut_off_is_named_in_a_parquet_file(tmp_path):
    texts = pa.array([b"fine", b"\xe9"] * 700).cast(pa.binary()).view(pa.string())
    pq.write_table(pa.table({"comment_text": texts}), tmp_path / "bad.parquet", use_dictionary=False)
    with pytest.raises(DataError, match=r"bad.parquet: row 2: column comment_text is not UTF-8"):
        list(tables.read_columns(tmp_path / "bad.parquet", ["comment_text"]))
    pq.write_table(pa.table({"n": np.arange(5_000)}), tmp_path / "cut.parquet", use_dictionary=False, compression=None)
    content = bytearray((tmp_path / "cut.parquet").read_bytes())
    content[:60] = bytes(60)  # the header of the first page
    (tmp_path / "cut.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"cut.parquet: cannot be read beyond row 0 "):
        list(tables.read_columns(tmp_path / "cut.parquet", ["n"]))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_is_read_in_bounded_memory_however_it_was_written(kind, tmp_path):
    texts = np.random.default_rng(0).bytes(20_000_000).hex()
    rows = pd.DataFrame({"comment_text": [texts[start : start + 800] for start in range(0, len(texts), 800)]})
    path = tmp_path / f"rows.{kind}"  # forty megabytes in one row group
    rows.to_parquet(path, row_group_size=len(rows)) if kind == "parquet" else rows.to_csv(path, index=False)
    before, held, done = pa.total_allocated_bytes(), [], 0
    for cells in tables.read_columns(path, ["comment_text"]):
        held.append(pa.total_allocated_bytes() - before)
        assert cells["comment_text"] == rows["comment_text"][done : done + 1_000].tolist()
        done += 1_000
    assert done == len(rows)
    assert max(held) < 8e6


def test_cells_are_read_as_they_stand(tmp_path):
    cells = ["NA", "null", "", "007", " x ", "1e5", "True", 'a "quoted" one,\nof two lines', "y" * 200_000, "\x00"]
    frame = pd.DataFrame({"id": range(len(cells)), "b.c": cells})
    frame.to_csv(tmp_path / "rows.csv", index=False, encoding="utf-8-sig", lineterminator="\r\n")
    frame[frame["id"] >= 0].set_index("id").to_parquet(tmp_path / "rows.parquet")
    assert tables.column_names(tmp_path / "rows.csv") == ["id", "b.c"]
    for kind in ("csv", "parquet"):
        assert [
            cell for part in tables.read_columns(tmp_path / f"rows.{kind}", ["b.c"], 3) for cell in part["b.c"]
        ] == cells
    with pytest.raises(ValueError, match="batch_rows=0"):
        tables.read_columns(tmp_path / "rows.csv", ["b.c"], 0)


def test_an_index_that_pandas_kept_is_no_column(tmp_path):
    frame = pd.DataFrame({"comment_text": ["a", "b"], "toxic": [0, 1]}, index=[1, 0])
    frame.to_parquet(tmp_path / "rows.parquet")
    assert "__index_level_0__" in pq.read_schema(tmp_path / "rows.parquet").names
    options = {"text": "comment_text", "labels": None, "ignore": ["id"]}
    assert loaders.label_columns([tmp_path / "rows.parquet"], **options) == ["toxic"]


def test_words_that_pandas_takes_for_nothing_stay_words_and_booleans_are_labels(tokenizer, tmp_path):
    (tmp_path / "rows.csv").write_text("comment_text,toxic\nNA,1\nnull,0\nNaN,\n")
    made = loaders.tokenize_files(tmp_path / "rows.csv", tokenizer, cache=tmp_path / "c")
    assert made.table()["labels"][:] == [[1], [0], [-1]]
    pd.DataFrame({"comment_text": ["a", "b"], "toxic": [True, False]}).to_parquet(tmp_path / "rows.parquet")
    made = loaders.tokenize_files(tmp_path / "rows.parquet", tokenizer, cache=tmp_path / "c", shards=1)
    assert made.table()["labels"][:] == [[1], [0]]


def test_a_torn_or_broken_folder_is_named_or_made_anew(table, tokenizer, tmp_path):
    path = write(table.head(300), tmp_path / "rows.csv")
    made = loaders.tokenize_files(path, tokenizer, cache=tmp_path / "c", shards=2)
    (made.folder / "index.json").unlink()  # half deleted
    again = loaders.tokenize_files(path, tokenizer, cache=tmp_path / "c", shards=2)
    assert again == made
    whole = made.files[1].read_bytes()
    made.files[1].write_bytes(whole[: len(whole) // 2])
    for use in (loaders.ArrowRows, lambda tokens: list(loaders.TokenStream(tokens, 8, shuffle=False))):
        with pytest.raises(DataError, match=r"tokens-00001.arrow: torn .*; delete"):
            use(made)


def test_what_a_killed_process_left_is_cleared_after_a_day(table, tokenizer, tmp_path):
    path = write(table.head(20), tmp_path / "rows.csv")
    for name, age in (("old", 2 * 86_400), ("young", 60)):
        left = tmp_path / "c" / f".making-{name}"
        left.mkdir(parents=True)
        (left / "tokens-00000.arrow").write_bytes(b"half")
        for found in (left / "tokens-00000.arrow", left):
            os.utime(found, (time.time() - age,) * 2)
    loaders.tokenize_files(path, tokenizer, cache=tmp_path / "c")
    assert [found.name for found in (tmp_path / "c").glob(".making-*")] == [".making-young"]


def test_a_column_twice_and_an_empty_file_are_refused(tokenizer, tmp_path):
    for content, message in (
        ("comment_text,a,a\nhi,0,1\n", "column a stands twice"),
        ("", "missing column comment_text"),
    ):
        (tmp_path / "rows.csv").write_text(content)
        with pytest.raises(DataError, match=rf"rows.csv: {message}"):
            loaders.tokenize_files(tmp_path / "rows.csv", tokenizer, cache=tmp_path / "c")


def test_a_stream_refuses_workers_and_other_batches(tokens):
    stream = loaders.TokenStream(tokens, 32, shuffle=True)
    with pytest.raises(ValueError, match="every worker would give all batches"):
        next(iter(torch.utils.data.DataLoader(stream, batch_size=None, num_workers=2)))
    with pytest.raises(ValueError, match="ranks was 2 and is 1"):
        loaders.StreamLoader(stream).load_state_dict({"epoch": 0, "batches": 3, "ranks": 2})


def test_no_network_is_tried(table, tokenizer, tmp_path, monkeypatch):
    import socket

    def refuse(*args, **options):
        raise AssertionError("a connection was tried")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for kind in ("csv", "parquet"):
        path = write(table.head(20), tmp_path / f"rows.{kind}")
        assert len(loaders.ArrowRows(loaders.tokenize_files(path, tokenizer, cache=tmp_path / "c"))) == 20
