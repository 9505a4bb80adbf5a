"""Token ids on disk: made once, in the order of the files, refused where they cannot be trusted, shared and resumed."""

import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from itertools import chain, islice, pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast

from helpers import datasets, loaders, loops, losses, text
from helpers.datasets import DataError, reading
from helpers.loaders.files import TokenFiles, label_columns
from helpers.loops.fingerprints import fingerprint

ROOT = Path(__file__).parent.parent
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


def batches_of(loader):
    """Every batch as plain lists: token ids, labels (None where unknown), rows."""
    return [(batch[0]["input_ids"].tolist(), plain(batch[1]), batch.rows.tolist()) for batch in loader]


def plain(labels):
    return [[None if value != value else value for value in row] for row in labels.tolist()]


@pytest.fixture(scope="module", params=["rows.csv", "rows.parquet"])
def tokens(request, table, tokenizer, tmp_path_factory):
    """The rows in three files, one of them a single row."""
    folder = tmp_path_factory.mktemp("files")
    path = folder / request.param
    parts = table[:300], table[300:301], table[301:]
    paths = [write(part, path.with_stem(f"part{place}")) for place, part in enumerate(parts)]
    return loaders.tokenize_files(paths, tokenizer, cache=folder / "c", max_length=32)


@pytest.fixture(scope="module")
def in_memory(table, tokenizer):
    return loaders.tokenize(table["comment_text"], tokenizer, max_length=32), table[LABELS]


@pytest.mark.parametrize(
    "options",
    [{}, {"shuffle": True, "seed": 3}, {"bucket": False}, {"batch_size": 7, "rank": 1, "world_size": 3}],
    ids=str,
)
def test_batches_are_those_of_a_table_in_memory(options, tokens, in_memory):
    assert tokens.labels == LABELS
    assert tokens.cut == in_memory[0].cut > 0
    assert tokens.lengths.tolist() == in_memory[0].lengths.tolist()
    assert batches_of(loaders.file_loader(tokens, **options)) == batches_of(loaders.token_loader(*in_memory, **options))


def test_rows_lie_in_the_order_of_the_files(tokens, in_memory, table):
    made, labels = in_memory
    ids = [made.ids[start:stop].tolist() for start, stop in pairwise(made.offsets)]
    assert tokens.table["input_ids"][:] == ids
    assert tokens.table["labels"][:] == labels.to_numpy().tolist()
    assert tokens.table["truncated"][:] == made.truncated.tolist()


@pytest.mark.parametrize("world_size", [2, 3, 16, 40])
def test_processes_share_all_rows_in_equally_many_batches(tokens, world_size):
    options = {"batch_size": 3 * world_size, "shuffle": True, "world_size": world_size}
    shares = [batches_of(loaders.file_loader(tokens, rank=rank, **options)) for rank in range(world_size)]
    whole = batches_of(loaders.file_loader(tokens, batch_size=3 * world_size, shuffle=True))
    assert {len(own) for own in shares} == {len(whole)}
    for number, (_, _, rows) in enumerate(whole):
        assert [own[number][2] for own in shares] == [rows[rank::world_size] for rank in range(world_size)]
    assert sorted(row for _, _, rows in whole for row in rows) == list(range(len(tokens)))


@pytest.mark.parametrize("skip", [0, 1, 17])
@pytest.mark.parametrize("world_size", [1, 2])
def test_an_epoch_is_resumed_in_its_middle(tokens, skip, world_size):
    def loader():
        return loaders.file_loader(tokens, shuffle=True, rank=world_size - 1, world_size=world_size)

    first = loader()
    first.load_state_dict({"epoch": 3, "batches": 0})
    whole = batches_of(first)
    assert first.state_dict().items() >= {"epoch": 4, "batches": 0}.items()
    broken, again = loader(), loader()
    broken.load_state_dict({"epoch": 3, "batches": 0})
    batches = batches_of(islice(broken, skip))
    assert broken.state_dict().items() >= {"epoch": 3, "batches": skip}.items()
    again.load_state_dict({"epoch": 3, "batches": skip})
    assert batches + batches_of(again) == whole
    assert whole != batches_of(loader())


class Net(torch.nn.Module):
    """The mean of learned numbers of the tokens."""

    def __init__(self, entries):
        super().__init__()
        self.numbers = torch.nn.Embedding(entries, 2)

    def forward(self, input_ids, attention_mask):
        return (self.numbers(input_ids) * attention_mask[..., None]).sum(1) / attention_mask.sum(1, keepdim=True)


@pytest.mark.parametrize("stop", [1, 20, 45])
def test_a_run_over_files_that_was_stopped_ends_with_the_same_bits(stop, tokens, tokenizer, tmp_path):
    def run(folder, stop=None):
        torch.manual_seed(0)
        model, steps = Net(len(tokenizer)), 0

        def count(module, *_):
            nonlocal steps
            steps += module.training  # `fit` tries the model in eval mode first
            if steps == stop:
                raise RuntimeError("the power failed")

        model.register_forward_hook(count)
        options = {"checkpoint_every": 4, "progress": False, "epochs": 2, "folder": folder}
        optimizer = torch.optim.SGD(model.parameters(), lr=0.5, momentum=0.9)
        loops.fit(model, loaders.file_loader(tokens, shuffle=True), loss=losses.bce, optimizer=optimizer, **options)
        return model.numbers.weight

    with pytest.raises(RuntimeError, match="the power failed"):
        run(tmp_path / "stopped", stop)
    assert torch.equal(run(tmp_path / "stopped"), run(tmp_path / "whole"))


def test_a_run_knows_the_content_of_its_files_and_not_their_paths(tokenizer, tmp_path):
    rows = pd.DataFrame({"id": [1, 2], "comment_text": ["You are kind", "Go away"], "rude": [0, 1]})

    def described(name, **changes):
        path = write(rows.assign(**changes), tmp_path / name)
        loader = loaders.file_loader(loaders.tokenize_files(path, tokenizer, cache=tmp_path / "c"), shuffle=True)
        before, _ = (fingerprint(data=loader, loss="bce", model=torch.nn.Linear(1, 1)), list(loader))
        assert fingerprint(data=loader, loss="bce", model=torch.nn.Linear(1, 1)) == before
        return before

    first = described("one.csv")
    assert described("two.parquet", id=[7, 8]) == first
    assert described("three.csv", rude=[1, 1]) != first
    assert described("three.csv", comment_text=["You are mean", "Go away"]) != first


def test_token_ids_survive_pickling_and_pages_that_are_given_back(tokens, in_memory, monkeypatch):
    monkeypatch.setattr(TokenFiles, "release_after", 100)
    copy = pickle.loads(pickle.dumps(tokens))
    assert len(pickle.dumps(tokens)) < 10_000
    for source in (tokens, copy):
        assert batches_of(loaders.file_loader(source)) == batches_of(loaders.token_loader(*in_memory))


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="Linux says what is mapped")
def test_pages_that_were_read_do_not_stay_in_memory(tokenizer, tmp_path, monkeypatch):
    # Linux may map two megabytes where one row is read: the file must be larger.
    rows = pd.DataFrame({"comment_text": [" ".join(["goat", "boat"] * 60)] * 40_000, "toxic": 0})
    tokens = loaders.tokenize_files(write(rows, tmp_path / "rows.csv"), tokenizer, cache=tmp_path / "c")
    size = tokens.path.stat().st_size

    def mapped():
        """Bytes of the files that count as memory of this process."""
        found, ours = 0, False
        for line in Path("/proc/self/smaps").read_text().splitlines():
            if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
                ours = str(tmp_path) in line
            elif ours and line.startswith("Rss:"):
                found += 1024 * int(line.split()[1])
        return found

    def most(release_after):
        tokens.release()
        monkeypatch.setattr(TokenFiles, "release_after", release_after)
        order = np.random.default_rng(0).permutation(len(tokens))[:1000]
        return max(mapped() for row in order if tokens.__getitems__([int(row)]))

    assert most(10**9) > 0.9 * size
    assert most(1) < 0.5 * size
    fingerprint(data=tokens, loss="bce", model=torch.nn.Linear(1, 1))
    tokens.release()
    assert mapped() == 0


def names_of(folder):
    return sorted(path.name for path in folder.glob("*.arrow"))


def test_what_was_made_is_opened_and_what_changed_is_made_anew(table, tokenizer, tmp_path):
    cache, path = tmp_path / "c", write(table.head(50), tmp_path / "rows.csv")

    def make(path=path, tokenizer=tokenizer, **options):
        return loaders.tokenize_files(path, tokenizer, cache=cache, **options)

    first = make()
    stamp = first.path.stat().st_mtime_ns
    copy = tmp_path / "elsewhere.csv"
    copy.write_bytes(path.read_bytes())
    used = text.load_tokenizer()
    used(["one", "two words"], padding=True, truncation=True, max_length=3)
    for options in ({}, {"path": copy}, {"path": [str(path)]}, {"tokenizer": used}, {"labels": LABELS}):
        again = make(**options)
        assert again.path == first.path, options
        assert again.table["input_ids"][:] == first.table["input_ids"][:]
    assert first.path.stat().st_mtime_ns == stamp
    other = text.load_tokenizer()
    other.add_tokens(["goat"])
    for options in ({"max_length": 64}, {"labels": ["kind"]}, {"labels": LABELS[::-1]}, {"tokenizer": other}):
        before = names_of(cache)
        make(**options)
        assert len(names_of(cache)) == len(before) + 1, options
    before = names_of(cache)
    make([path, copy])
    assert len(names_of(cache)) == len(before) + 1


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_one_changed_cell_is_seen_where_size_and_time_are_the_same(kind, tokenizer, tmp_path):
    rows = pd.DataFrame({"comment_text": ["You are kind", "Go away"], "rude": [0, 1]})
    path = tmp_path / f"rows.{kind}"
    plain = {"compression": None, "use_dictionary": False, "write_statistics": False}

    def store(rows):
        rows.to_parquet(path, **plain) if kind == "parquet" else rows.to_csv(path, index=False)
        os.utime(path, ns=(10**18, 10**18))
        return path.stat().st_size, path.stat().st_mtime_ns

    def made():
        return loaders.tokenize_files(path, tokenizer, cache=tmp_path / "c").table[:]

    stats = store(rows)
    first = made()
    for column, changed in (("comment_text", ["You are mean", "Go away"]), ("rude", [1, 1])):
        assert store(rows.assign(**{column: changed})) == stats
        assert made() != first, column
    store(rows)
    assert made() == first


def test_another_process_opens_what_this_one_made(table, tokenizer, tmp_path):
    path = write(table.head(50), tmp_path / "rows.csv")
    first = loaders.tokenize_files(path, tokenizer, cache=tmp_path / "c")
    before = names_of(tmp_path / "c")
    done = start(path, tmp_path / "c")
    assert done.communicate()[0] == f"{len(str(first.table[:]))} 50\n"
    assert names_of(tmp_path / "c") == before


MAKE = """
import os, signal, sys
from helpers import loaders, text
from helpers.loaders import files
path, cache, die_at = sys.argv[1], sys.argv[2], int(sys.argv[3])
read = files.read_columns
def dying(*arguments):
    done = 0
    for part in read(*arguments):
        if 0 <= die_at < done + len(part["comment_text"]):
            print("dying", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        done += len(part["comment_text"])
        yield part
files.read_columns = dying
tokens = loaders.tokenize_files(path, text.load_tokenizer(), cache=cache)
print(len(str(tokens.table[:])), len(tokens))
"""


def start(path, cache, die_at=-1, **environment):
    """Another process that makes token ids, and may be killed at a row."""
    command = [sys.executable, "-c", MAKE, str(path), str(cache), str(die_at)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": ROOT}
    return subprocess.Popen(command, env=os.environ | environment, **options)


def test_what_a_killed_process_left_is_not_taken_for_whole_and_is_removed(table, tokenizer, tmp_path):
    path, cache = write(table, tmp_path / "rows.csv"), tmp_path / "c"
    killed = start(path, cache, die_at=1_100)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    (left,) = cache.glob("*.part")
    shutil.copy(left, kept := tmp_path / "kept")
    other = write(table.head(20), tmp_path / "other.csv")  # the next one to come removes it, whatever it makes
    assert len(loaders.tokenize_files(other, tokenizer, cache=cache)) == 20
    assert not list(cache.rglob("*.part"))
    shutil.copy(kept, left)
    tokens = loaders.tokenize_files(path, tokenizer, cache=cache)
    expected = loaders.tokenize(table["comment_text"], tokenizer)
    assert list(chain.from_iterable(tokens.table["input_ids"][:])) == expected.ids.tolist()
    assert not list(cache.rglob("*.part"))


def test_processes_that_make_the_same_at_once_get_the_same(table, tokenizer, tmp_path):
    path, cache = write(table, tmp_path / "rows.csv"), tmp_path / "c"
    found = [started.communicate() for started in [start(path, cache) for _ in range(2)]]
    tokens = loaders.tokenize_files(path, tokenizer, cache=cache)
    expected = f"{len(str(tokens.table[:]))} {len(table)}\n"
    assert found == [(expected, "")] * 2  # and nothing is printed: neither progress bars nor warnings
    assert len(names_of(cache)) == 1
    assert {path.suffix for path in cache.iterdir()} == {".arrow", ".digest"}


def test_a_broken_making_leaves_no_table_behind(table, tokenizer, tmp_path):
    path = write(table.head(1_100).assign(rude=[*[0] * 1_099, 7]), tmp_path / "rows.csv")
    with pytest.raises(DataError, match=r"rows.csv: row 1,100: column rude holds '7'"):
        loaders.tokenize_files(path, tokenizer, cache=tmp_path / "c")
    assert not list((tmp_path / "c").iterdir())


def test_a_file_that_changes_while_it_is_read_is_refused(table, tmp_path):
    path = write(table.head(1_100), tmp_path / "rows.csv")

    class Meddling(type(text.load_tokenizer())):
        def __call__(self, texts, **options):
            if len(texts) == 1_000:
                with path.open("a") as file:
                    file.write("9,more,0,1\n")
            return super().__call__(texts, **options)

    meddling = Meddling.from_pretrained(text.load_tokenizer().name_or_path)
    with pytest.raises(DataError, match=r"rows.csv: the file was changed while it was read"):
        loaders.tokenize_files(path, meddling, cache=tmp_path / "c")
    assert not names_of(tmp_path / "c")


def damage_cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def damage_flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def damage_empty(path):
    path.write_bytes(b"")


def damage_text(path):
    path.write_bytes(b"\xff" * 32)


@pytest.mark.parametrize("damage", [damage_cut, damage_flip, damage_empty, damage_text, Path.unlink])
@pytest.mark.parametrize("kind", ["arrow", "digest"])
def test_a_damaged_cache_is_refused_by_name_or_made_anew(damage, kind, table, tokenizer, tmp_path):
    path = write(table.head(300), tmp_path / "rows.csv")

    def make():
        return loaders.tokenize_files(path, tokenizer, cache=tmp_path / "c")

    whole = make().table[:]
    (found,) = (tmp_path / "c").glob(f"*.{kind}")
    damage(found)
    if kind == "digest" and damage is Path.unlink:
        damage_flip(*(tmp_path / "c").glob("*.arrow"))
    else:
        with pytest.raises(DataError, match=rf"{found.name}.*: the cache is damaged; delete .*c and run again"):
            make()
        shutil.rmtree(tmp_path / "c")
    assert make().table[:] == whole
    assert len(list((tmp_path / "c").iterdir())) == 2


def test_a_cache_that_cannot_be_written_is_named(table, tokenizer, tmp_path):
    path = write(table, tmp_path / "rows.csv")
    for cache in (path, path / "c"):
        with pytest.raises(OSError, match=rf"{re.escape(str(cache))}: token ids cannot be written .* cache="):
            loaders.tokenize_files(path, tokenizer, cache=cache)
    full = """
import resource, signal, sys
from helpers import loaders, text
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))  # as on a disk that is full
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    loaders.tokenize_files(sys.argv[1], text.load_tokenizer(), cache=sys.argv[2])
except OSError as error:
    print(error)
"""
    command = [sys.executable, "-c", full, str(path), str(tmp_path / "c")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert f"{tmp_path / 'c'}: token ids cannot be written" in done.stdout, done.stderr
    assert not names_of(tmp_path / "c")
    assert len(loaders.tokenize_files(path, tokenizer, cache=tmp_path / "c")) == len(table)


def test_nothing_is_written_outside_the_cache(table, tmp_path):
    path, home = write(table.head(20), tmp_path / "rows.csv"), tmp_path / "home"
    home.mkdir()
    caches = {name: str(home / name) for name in ("HF_HOME", "XDG_CACHE_HOME", "TMPDIR")}
    (home / "TMPDIR").mkdir()
    done = start(path, tmp_path / "c", HOME=str(home), **caches)
    assert done.communicate()[0].endswith(" 20\n")
    assert [found.name for found in home.rglob("*")] == ["TMPDIR"]


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
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DataError, match=r"cut.parquet: not a readable parquet file"):
        make(tmp_path / "cut.parquet")
    path = write(table.head(5), tmp_path / "rows.csv")
    with pytest.raises(DataError, match=r"rows.csv: missing column message; found id, comment_text"):
        make(path, text="message")
    with pytest.raises(DataError, match="missing column cruel"):
        make(path, labels=["cruel"])
    with pytest.raises(DataError, match="no label column beside comment_text, id, rude, kind"):
        make(path, ignore=["id", "rude", "kind"])
    with pytest.raises(DataError, match=r"empty.csv: no rows"):
        make([path, write(table.head(0), tmp_path / "empty.csv")])
    with pytest.raises(ValueError, match=r"files=\[\]: expected at least one file"):
        make([])
    with pytest.raises(ValueError, match=r"labels=\['rude', 'rude'\].*expected different names"):
        make(path, labels=["rude", "rude"])
    with pytest.raises(ValueError, match="expected different names"):
        make(path, labels=["comment_text"])
    with pytest.raises(ValueError, match="max_length=2"):
        make(path, max_length=2)
    with pytest.raises(ValueError, match="rank=2: expected a whole number, from 0 to 1"):
        loaders.file_loader(make(path), rank=2, world_size=2)


def test_files_with_other_columns_are_named(tokenizer, tmp_path, table):
    first = write(table.head(5), tmp_path / "first.csv")
    for change, message in (
        (table.head(5).drop(columns="kind"), "missing column kind"),
        (table.head(5).rename(columns={"comment_text": "message"}), "missing column comment_text"),
        (table.head(5).assign(cruel=0), r"column cruel is not in .*first.csv; name the labels"),
    ):
        second = write(change, tmp_path / "second.csv")
        with pytest.raises(DataError, match=rf"second.csv: {message}"):
            loaders.tokenize_files([first, second], tokenizer, cache=tmp_path / "c")
    assert len(loaders.tokenize_files([first, second], tokenizer, cache=tmp_path / "c", labels=LABELS)) == 10
    second = write(table.iloc[5:8][["kind", "rude", "comment_text"]], tmp_path / "second.csv")  # in another order
    made = loaders.tokenize_files([first, second], tokenizer, cache=tmp_path / "c")
    assert made.table["labels"][:] == table[LABELS].head(8).to_numpy().tolist()
    write(table.head(5).set_index("id"), tmp_path / "index.csv").write_text(",comment_text,rude\n0,a,1\n1,b,0\n")
    with pytest.raises(DataError, match=r"index.csv: a column has no name \(a saved index\?\)"):
        loaders.tokenize_files(tmp_path / "index.csv", tokenizer, cache=tmp_path / "c")


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
        for cells in reading.read_columns(tmp_path / "bad.csv", ["toxic"], batch_rows=2):
            seen += cells["toxic"]
    assert seen == ["0"] * (rows - rows % 2)


def test_a_row_that_is_not_utf8_or_cut_off_is_named_in_a_parquet_file(tmp_path):
    texts = pa.array([b"fine", b"\xe9"] * 700).cast(pa.binary()).view(pa.string())
    pq.write_table(pa.table({"comment_text": texts}), tmp_path / "bad.parquet", use_dictionary=False)
    with pytest.raises(DataError, match=r"bad.parquet: row 2: column comment_text is not UTF-8"):
        list(reading.read_columns(tmp_path / "bad.parquet", ["comment_text"]))
    pq.write_table(pa.table({"n": np.arange(5_000)}), tmp_path / "cut.parquet", use_dictionary=False, compression=None)
    content = bytearray((tmp_path / "cut.parquet").read_bytes())
    content[:60] = bytes(60)  # the header of the first page
    (tmp_path / "cut.parquet").write_bytes(content)
    with pytest.raises(DataError, match=r"cut.parquet: cannot be read beyond row 0 "):
        list(reading.read_columns(tmp_path / "cut.parquet", ["n"]))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_file_is_read_in_bounded_memory_however_it_was_written(kind, tmp_path):
    texts = np.random.default_rng(0).bytes(20_000_000).hex()
    rows = pd.DataFrame({"comment_text": [texts[start : start + 800] for start in range(0, len(texts), 800)]})
    path = tmp_path / f"rows.{kind}"  # forty megabytes in one row group
    rows.to_parquet(path, row_group_size=len(rows)) if kind == "parquet" else rows.to_csv(path, index=False)
    before, held, done = pa.total_allocated_bytes(), [], 0
    for cells in reading.read_columns(path, ["comment_text"]):
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
    assert reading.column_names(tmp_path / "rows.csv") == ["id", "b.c"]
    for kind in ("csv", "parquet"):
        assert [
            cell for part in reading.read_columns(tmp_path / f"rows.{kind}", ["b.c"], 3) for cell in part["b.c"]
        ] == cells
    with pytest.raises(ValueError, match="batch_rows=0"):
        reading.read_columns(tmp_path / "rows.csv", ["b.c"], 0)


def test_an_index_that_pandas_kept_is_no_column(tmp_path):
    frame = pd.DataFrame({"comment_text": ["a", "b"], "toxic": [0, 1]}, index=[1, 0])
    frame.to_parquet(tmp_path / "rows.parquet")
    assert "__index_level_0__" in pq.read_schema(tmp_path / "rows.parquet").names
    options = {"text": "comment_text", "labels": None, "ignore": ["id"]}
    assert label_columns([tmp_path / "rows.parquet"], **options) == ["toxic"]


def test_words_that_pandas_takes_for_nothing_stay_words(tokenizer, tmp_path):
    (tmp_path / "rows.csv").write_text("comment_text,toxic\nNA,1\nnull,0\nNaN,\n")
    made = loaders.tokenize_files(tmp_path / "rows.csv", tokenizer, cache=tmp_path / "c")
    assert made.table["labels"][:] == [[1], [0], [-1]]
    assert made.table["input_ids"][:] == tokenizer(["NA", "null", "NaN"])["input_ids"]


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (pd.Series([True, False]), [1, 0]),
        (pd.Series([True, None], dtype="boolean"), [1, -1]),
        (pd.Series([1, None], dtype="Int64"), [1, -1]),
        (pd.Series([1.0, np.nan]), [1, -1]),
        (pd.Series([1, -1], dtype=np.int8), [1, -1]),
        (pd.Series(["0", "1"], dtype="category"), [0, 1]),
        (pd.Series([0, 1], dtype="category"), [0, 1]),
        (pd.Series([0, None], dtype=pd.ArrowDtype(pa.uint8())), [0, -1]),
    ],
    ids=lambda value: str(getattr(value, "dtype", "")),
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_labels_of_every_type(cells, expected, kind, tokenizer, tmp_path):
    rows = pd.DataFrame({"comment_text": ["a", "b"], "toxic": cells})
    made = loaders.tokenize_files(write(rows, tmp_path / f"rows.{kind}"), tokenizer, cache=tmp_path / "c")
    assert [mark for (mark,) in made.table["labels"][:]] == expected


def test_a_column_twice_and_an_empty_file_are_refused(tokenizer, tmp_path):
    for content, message in (
        ("comment_text,a,a\nhi,0,1\n", "column a appears twice"),
        ("", "missing column comment_text"),
    ):
        (tmp_path / "rows.csv").write_text(content)
        with pytest.raises(DataError, match=rf"rows.csv: {message}"):
            loaders.tokenize_files(tmp_path / "rows.csv", tokenizer, cache=tmp_path / "c")


def test_token_numbers_beyond_16_bits_stay_whole_where_a_vocabulary_leaves_numbers_out(tmp_path):
    words = WordLevel({"[UNK]": 0, "away": 1, "a text": 2, "go": 70_000}, unk_token="[UNK]")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(words), unk_token="[UNK]")
    (tmp_path / "rows.csv").write_text("comment_text,rude\ngo,1\naway,0\n")
    tokens = loaders.tokenize_files(tmp_path / "rows.csv", tokenizer, cache=tmp_path / "c")
    assert tokens.table["input_ids"][:] == [[70_000], [1]]


def test_no_network_is_tried(table, tokenizer, tmp_path, monkeypatch):
    import socket

    def refuse(*args, **options):
        raise AssertionError("a connection was tried")

    for name in ("connect", "connect_ex"):
        monkeypatch.setattr(socket.socket, name, refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for kind in ("csv", "parquet"):
        path = write(table.head(20), tmp_path / f"rows.{kind}")
        assert len(loaders.tokenize_files(path, tokenizer, cache=tmp_path / "c")) == 20
