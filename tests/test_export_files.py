"""Files of any size: the same predictions as in memory, resumed after a kill, whole or not there."""

import csv
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import BertConfig, BertModel

from helpers import datasets, export, models, text
from helpers.__main__ import main
from helpers.datasets import DataError

LABELS = ["rude", "kind"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """The real tokenizer under a tiny encoder: what counts here is the file."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    tagger = models.BertTagger(BertModel(BertConfig(**sizes)), 2)
    torch.nn.init.normal_(tagger.head.weight)
    folder = tmp_path_factory.mktemp("model") / "tagger"
    limits = {"rude": 0.4, "kind": 0.6}
    return models.save_tagger(folder, tagger, text.load_tokenizer(), labels=LABELS, thresholds=limits, max_length=32)


@pytest.fixture(scope="module")
def rows():
    comments = datasets.load_comments("sample").head(1000)
    table = pd.DataFrame({"id": [f"{n:05d}" for n in range(1000)], "comment_text": comments["comment_text"]})
    table.loc[:4, "comment_text"] = ["", "NA", 'with "quotes", and\nlines', "null", "Ünï 🐐"]
    return table


@pytest.fixture
def source(rows, tmp_path):
    rows.to_csv(tmp_path / "rows.csv", index=False)
    return tmp_path / "rows.csv"


def read(path):
    return pd.read_csv(path, dtype={"id": str})


def same(path, other):
    """The same rows in the same order; other batches move the last digit."""
    found, expected = read(path), read(other)
    assert found["id"].tolist() == expected["id"].tolist()
    np.testing.assert_allclose(found[LABELS], expected[LABELS], atol=2e-6)


def test_answers_and_ids_are_those_of_the_rows(model, source, rows, tmp_path):
    done = export.predict_file(model, source, tmp_path / "out.csv", batch_rows=300)
    assert (done.target, done.rows, done.resumed, done.labels) == (tmp_path / "out.csv", 1000, 0, tuple(LABELS))
    assert done.seconds > 0
    found = read(tmp_path / "out.csv")
    assert found["id"].tolist() == rows["id"].tolist()
    expected = export.Predictor.load(model).predict_proba(rows["comment_text"])
    np.testing.assert_allclose(found[LABELS], expected, atol=2e-6)
    assert expected.to_numpy().std() > 0.01
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "rows.csv"]


def test_parquet_and_tags(model, rows, tmp_path):
    rows.rename(columns={"id": "key", "comment_text": "words"}).to_parquet(tmp_path / "rows.parquet")
    export.predict_file(model, tmp_path / "rows.parquet", tmp_path / "o.csv", text="words", id="key", tags=True)
    found = pd.read_csv(tmp_path / "o.csv", dtype={"key": str})
    assert list(found.columns) == ["key", "rude", "kind", "rude_tag", "kind_tag"]
    tags = export.Predictor.load(model).predict(rows["comment_text"])
    assert (found[["rude_tag", "kind_tag"]].to_numpy() == tags.to_numpy()).all()
    assert found["key"].tolist() == rows["id"].tolist()


def unfinished(target):
    """The hidden folder of a target's unfinished results."""
    (folder,) = target.parent.glob(f".{target.name}.predict-*")
    return folder


def start(*arguments, steps=1, batch_rows=100, **options):
    """Rows of a call that is stopped after some batches."""
    rows = []

    def stop(done):
        rows.append(done.rows)
        if len(rows) == steps:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        export.predict_file(*arguments, batch_rows=batch_rows, on_batch=stop, **options)
    return rows


def once(act):
    """Called after each batch: acts after the first."""
    calls = []
    return lambda done: act() if not calls and not calls.append(done) else None


@pytest.mark.parametrize("is_int8", [False, True])
def test_a_stopped_call_is_resumed_to_the_same_bytes(is_int8, model, source, rows, tmp_path, monkeypatch):
    if is_int8:  # where a probability depends on the batch that it is in
        model = export.to_onnx(model, tmp_path / "int8", int8=True)
    whole, target = tmp_path / "whole.csv", tmp_path / "out.csv"
    export.predict_file(model, source, whole, batch_rows=100)
    assert start(model, source, target, steps=3) == [100, 200, 300]
    assert not target.exists()
    with (unfinished(target) / "rows.csv").open("a") as file:
        file.write("half a ro")  # killed after these bytes, before the state counted them
    read_now, real = [], export.Predictor.predict_proba
    monkeypatch.setattr(
        export.Predictor, "predict_proba", lambda self, texts: read_now.extend(texts) or real(self, texts)
    )
    done = export.predict_file(model, source, target, batch_rows=100)
    assert (done.rows, done.resumed) == (1000, 300)
    assert read_now == rows["comment_text"].tolist()[300:]
    assert target.read_bytes() == whole.read_bytes()
    assert not list(tmp_path.glob(".*"))


def test_other_batches_resume_too(model, source, tmp_path):
    export.predict_file(model, source, tmp_path / "whole.csv")
    start(model, source, tmp_path / "out.csv", steps=3)
    assert start(model, source, tmp_path / "out.csv", batch_rows=70) == [350]
    export.predict_file(model, source, tmp_path / "out.csv", batch_rows=70)
    same(tmp_path / "out.csv", tmp_path / "whole.csv")


def test_results_that_lack_their_name_only_are_resumed(model, source, tmp_path):
    """Killed between the last row and the rename."""
    start(model, source, tmp_path / "out.csv", steps=9)
    kept = unfinished(tmp_path / "out.csv")
    with pytest.raises(IsADirectoryError, match="is a folder"):  # so that the rename is refused
        export.predict_file(model, source, tmp_path / "out.csv", on_batch=lambda _: (tmp_path / "out.csv").mkdir())
    assert '"rows": 1000' in (kept / "progress.json").read_text()
    (tmp_path / "out.csv").rmdir()
    done = export.predict_file(model, source, tmp_path / "out.csv")
    assert (done.rows, done.resumed) == (1000, 1000)
    assert len(read(tmp_path / "out.csv")) == 1000


def test_a_killed_process_is_resumed(model, source, tmp_path):
    """A real process, a real kill."""
    slow = (
        "import sys, time\nfrom helpers import export\n"
        "def slowly(done): print(done.rows, flush=True); time.sleep(0.2)\n"
        "export.predict_file(*sys.argv[1:], batch_rows=50, on_batch=slowly)\n"
    )
    command = [sys.executable, "-c", slow, str(model), str(source), str(tmp_path / "out.csv")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for _ in range(3):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
    assert not (tmp_path / "out.csv").exists()
    status = main(["predict", str(model), str(source), "-o", str(tmp_path / "out.csv")])
    assert status == 0
    export.predict_file(model, source, tmp_path / "whole.csv", batch_rows=50)
    same(tmp_path / "out.csv", tmp_path / "whole.csv")


def test_a_source_that_was_fixed_is_resumed(model, source, tmp_path):
    """What was predicted before the bad row stays."""
    good = source.read_text()
    source.write_text(good + "9,too,many,fields\n")
    with pytest.raises(DataError, match=r"rows\.csv"):
        export.predict_file(model, source, tmp_path / "out.csv", batch_rows=100)
    source.write_text(good + "late,one more\n")
    assert export.predict_file(model, source, tmp_path / "out.csv", batch_rows=100).resumed > 500


@pytest.mark.parametrize("ids", [[1234567891, 2, 3], [1234567.25, 2.5, 3.0], ["007", "NA", ""]])
def test_ids_of_parquet_are_copied_as_they_stand(ids, model, tmp_path):
    pd.DataFrame({"id": ids, "comment_text": list("abc")}).to_parquet(tmp_path / "rows.parquet")
    export.predict_file(model, tmp_path / "rows.parquet", tmp_path / "out.csv")
    found = pd.read_csv(tmp_path / "out.csv", dtype=str, keep_default_na=False)["id"].tolist()
    assert found == [str(key) for key in ids]


def test_a_missing_id_is_named(model, tmp_path):
    pd.DataFrame({"id": ["a", None], "comment_text": ["b", "c"]}).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"rows\.parquet: row 2: column id holds None"):
        export.predict_file(model, tmp_path / "rows.parquet", tmp_path / "out.csv")


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_name_is_no_pattern(kind, model, rows, tmp_path):
    path, other = tmp_path / f"forum[1].{kind}", tmp_path / f"forum1.{kind}"
    for file, part in ((path, rows.head(5)), (other, rows.tail(5))):
        part.to_parquet(file) if kind == "parquet" else part.to_csv(file, index=False)
    export.predict_file(model, path, tmp_path / "out.csv")
    assert read(tmp_path / "out.csv")["id"].tolist() == rows["id"].head(5).tolist()


def test_a_state_of_more_rows_than_the_source_has_is_not_resumed(model, source, tmp_path):
    start(model, source, tmp_path / "out.csv", steps=10)
    state = unfinished(tmp_path / "out.csv") / "progress.json"
    state.write_text(state.read_text().replace('"rows": 1000', '"rows": 1001'))
    with pytest.raises(FileExistsError, match="are of another source, whose first 1,001 rows differ"):
        export.predict_file(model, source, tmp_path / "out.csv")


@pytest.mark.parametrize("change", ["source", "model", "tags"])
def test_another_file_model_or_setting_is_not_resumed(change, model, source, tmp_path):
    mine = shutil.copytree(model, tmp_path / "mine")
    start(mine, source, tmp_path / "out.csv")
    before = (unfinished(tmp_path / "out.csv") / "rows.csv").read_bytes()
    if change == "source":
        source.write_text(source.read_text().replace("00050,", "x0050,"))
    if change == "model":
        settings = (mine / "tagger.json").read_text()
        (mine / "tagger.json").write_text(settings.replace("0.4", "0.45"))
    tags = {"tags": change == "tags"}
    with pytest.raises(FileExistsError, match=f"another {change}"):
        export.predict_file(mine, source, tmp_path / "out.csv", **tags)
    assert (unfinished(tmp_path / "out.csv") / "rows.csv").read_bytes() == before
    export.predict_file(mine, source, tmp_path / "out.csv", force=True, **tags)
    assert len(read(tmp_path / "out.csv")) == 1000


def test_a_result_is_not_written_over(model, source, tmp_path):
    (tmp_path / "out.csv").write_text("precious")
    with pytest.raises(FileExistsError, match="exists"):
        export.predict_file(model, source, tmp_path / "out.csv")
    os.link(source, tmp_path / "link.csv")
    for path in (source, tmp_path / "link.csv", tmp_path / "sub" / ".." / "rows.csv"):
        (tmp_path / "sub").mkdir(exist_ok=True)
        with pytest.raises(FileExistsError, match="is the source"):
            export.predict_file(model, source, path, force=True)
    assert (tmp_path / "out.csv").read_text() == "precious"
    export.predict_file(model, source, tmp_path / "out.csv", force=True)
    assert len(read(tmp_path / "out.csv")) == 1000


def test_two_processes_do_not_write_one_file(model, source, tmp_path):
    (tmp_path / "link.csv").symlink_to("out.csv")

    def others():
        for name in ("out.csv", "link.csv"):
            for force in (False, True):
                with pytest.raises(BlockingIOError, match="another process writes it"):
                    export.predict_file(model, source, tmp_path / name, force=force)
        other = [sys.executable, "-m", "helpers", "predict", str(model), str(source), "-o", str(tmp_path / "out.csv")]
        done = subprocess.run(other, capture_output=True, text=True)
        assert done.returncode == 1
        assert re.fullmatch(r"predict: .*out.csv: another process writes it: .*\n", done.stderr)

    assert export.predict_file(model, source, tmp_path / "out.csv", batch_rows=100, on_batch=once(others)).rows == 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.csv", "out.csv", "rows.csv"]


def test_many_processes_at_once_write_one_whole_file(model, source, tmp_path):
    """They take turns without mixing: each is refused, or finds the result there."""
    export.predict_file(model, source, tmp_path / "whole.csv", batch_rows=20)
    code = (
        "import sys\nfrom helpers import export\nprint('ready', flush=True); sys.stdin.readline()\n"
        "for _ in range(200):\n"
        "    try:\n        export.predict_file(*sys.argv[1:], batch_rows=20)\n"
        "    except FileExistsError: break\n    except BlockingIOError: pass\n"
    )
    command = [sys.executable, "-c", code, str(model), str(source), str(tmp_path / "out.csv")]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    processes = [subprocess.Popen(command, **pipes) for _ in range(3)]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    assert [process.communicate() and process.returncode for process in processes] == [0, 0, 0]
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "rows.csv", "whole.csv"]


def test_files_of_others_are_neither_read_nor_changed(model, source, tmp_path):
    names = [
        "out.csv.part",
        "out.csv.part.json",
        "out.csv.lock",
        ".out.csv.lock",
        ".out.csv.part",
        "out.csv.part.json.new",
    ]
    for name in names:
        (tmp_path / name).write_text(f"mine: {name}")
    (tmp_path / "out.csv.tmp").symlink_to("out.csv.part")
    start(model, source, tmp_path / "out.csv")
    export.predict_file(model, source, tmp_path / "out.csv", force=True)
    assert all((tmp_path / name).read_text() == f"mine: {name}" for name in names)
    assert (tmp_path / "out.csv.tmp").is_symlink()


@pytest.mark.parametrize("kind", ["file", "link", "folder", "folder with a link"])
def test_another_folder_of_the_same_name_is_not_touched(kind, model, source, tmp_path):
    start(model, source, tmp_path / "out.csv")
    folder = unfinished(tmp_path / "out.csv")
    shutil.rmtree(folder)
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "rows.csv").write_text("precious")
    if kind == "file":
        folder.write_text("precious")
    elif kind == "link":
        folder.symlink_to("precious")
    else:
        folder.mkdir()
        name = "notes.txt" if kind == "folder" else "rows.csv"
        (folder / name).symlink_to(tmp_path / "precious" / "rows.csv")
    with pytest.raises(FileExistsError, match="holds something else"):
        export.predict_file(model, source, tmp_path / "out.csv", force=True)
    assert (tmp_path / "precious" / "rows.csv").read_text() == "precious"
    assert folder.exists() and not (tmp_path / "out.csv").exists()


def test_a_link_is_followed(model, source, tmp_path):
    (tmp_path / "there").mkdir()
    link, there = tmp_path / "out.csv", tmp_path / "there" / "real.csv"
    link.symlink_to(there)
    assert export.predict_file(model, source, link).target == there
    assert link.is_symlink() and len(read(there)) == 1000
    there.write_text("old")
    there.chmod(0o600)
    with pytest.raises(FileExistsError, match=r"out\.csv exists"):
        export.predict_file(model, source, link)
    export.predict_file(model, source, link, force=True)
    assert link.is_symlink() and len(read(link)) == 1000
    assert there.stat().st_mode & 0o777 == 0o600  # as it was
    link.unlink()
    link.symlink_to(link.name)
    with pytest.raises(OSError):
        export.predict_file(model, source, link, force=True)
    assert link.is_symlink()


def test_targets_that_cannot_be_written_are_refused_before_anything_is(model, source, tmp_path):
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.rglob("*"))
    refusals = {
        "missing/out.csv": (FileNotFoundError, "missing does not exist: make it first"),
        "rows.csv/out.csv": (FileNotFoundError, "rows.csv does not exist|is no folder"),
        "folder": (IsADirectoryError, "is a folder: name a file in it"),
        "": (IsADirectoryError, "is a folder"),
        "pipe": (FileExistsError, "is no plain file"),
        "out.parquet": (ValueError, r"expected a name that ends in \.csv"),
        "out.csv.gz": (ValueError, r"expected a name that ends in \.csv"),
    }
    for name, (error, message) in refusals.items():
        with pytest.raises(error, match=message):
            export.predict_file(model, source, tmp_path / name, force=True)
    with pytest.raises(FileExistsError, match="is a file in the model's folder"):
        export.predict_file(model, source, model / "tagger.json", force=True)
    assert sorted(tmp_path.rglob("*")) == before
    assert main(["predict", str(model), str(source), "-o", str(tmp_path / "missing" / "out.csv")]) == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder that root cannot write to either")
def test_a_folder_that_cannot_be_written_to_is_named_in_one_line(model, source, capsys):
    assert main(["predict", str(model), str(source), "-o", "/proc/out.csv"]) == 1
    assert re.fullmatch(r"predict: .*cannot write there.*'/proc'\n", capsys.readouterr().err)


def test_a_full_disk_is_told_in_one_line_and_resumed(model, source, tmp_path):
    """A limit on the size of files stands for a disk with no room left."""
    target = tmp_path / "out.csv"
    code = (
        "import resource, sys\nfrom helpers import export\nfrom helpers.__main__ import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), -1))\n"
        "export.predict_file.__kwdefaults__['batch_rows'] = 100\nsys.exit(main(sys.argv[2:]))\n"
    )
    for limit in (1000, 10_000):  # in the first batch; in a later one
        command = [sys.executable, "-c", code, str(limit), "predict", str(model), str(source), "-o", str(target)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 1
        *warned, error = done.stderr.splitlines()
        assert re.fullmatch(r"predict: .*File too large.*out\.csv'", error), done.stderr
        assert all(line.startswith("predict: ") for line in warned), "no traceback"
        assert ("resumes" in done.stderr) == (limit > 1000)
        assert not target.exists()
        assert bool(list(tmp_path.glob(".*"))) == (limit > 1000)
    assert export.predict_file(model, source, target, batch_rows=100).resumed > 0
    export.predict_file(model, source, tmp_path / "whole.csv", batch_rows=100)
    assert target.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_target_that_appears_meanwhile_is_not_replaced(model, source, tmp_path):
    appear = once(lambda: (tmp_path / "out.csv").write_text("precious"))
    with pytest.raises(FileExistsError, match="exists"):
        export.predict_file(model, source, tmp_path / "out.csv", batch_rows=100, on_batch=appear)
    assert (tmp_path / "out.csv").read_text() == "precious"
    assert export.predict_file(model, source, tmp_path / "out.csv", force=True).resumed == 1000


def test_a_source_that_changes_meanwhile_is_refused(model, source, tmp_path):
    grow = once(lambda: source.write_text(source.read_text() + "late,one more\n"))
    with pytest.raises(DataError, match="changed while it was read"):
        export.predict_file(model, source, tmp_path / "out.csv", batch_rows=300, on_batch=grow)
    assert not (tmp_path / "out.csv").exists()
    done = export.predict_file(model, source, tmp_path / "out.csv")
    assert (done.rows, done.resumed) == (1001, 1001)


def test_a_call_checks_its_arguments_at_once(model, source, tmp_path):
    target = tmp_path / "out.csv"
    call = export.predict_file
    with pytest.raises(FileNotFoundError, match="no such file"):
        call(model, tmp_path / "none.csv", target)
    with pytest.raises(FileNotFoundError, match="missing"):
        call(tmp_path, source, target)
    with pytest.raises(DataError, match=r"missing column 5; found id, comment_text; name .*--text"):
        call(model, source, target, text=5)
    for batch_rows in (0, -1, 2.0, True, None):
        with pytest.raises(ValueError, match=r"batch_rows=.*: expected a whole number, at least 1"):
            call(model, source, target, batch_rows=batch_rows)
    with pytest.raises(ValueError, match="force='no': expected True or False"):
        call(model, source, target, force="no")
    with pytest.raises(ValueError, match="source: expected a path, got a DataFrame"):
        call(model, pd.DataFrame(), target)
    with pytest.raises(ValueError, match="folder: expected a path, got a Predictor"):
        call(export.Predictor.load(model), source, target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.csv"]


def test_ids_and_texts_of_any_kind_come_back(model, tmp_path):
    ids = ["a\rb", "a\nb", 'say "x"', "a,b", " padded ", "=1+1", "\u00e9\U0001f410", "'", "-"]
    pd.DataFrame({"id": ids, "comment_text": ids}).to_parquet(tmp_path / "rows.parquet")
    export.predict_file(model, tmp_path / "rows.parquet", tmp_path / "out.csv")
    with (tmp_path / "out.csv").open(newline="", encoding="utf-8") as file:
        assert [row[0] for row in csv.reader(file)][1:] == ids
    export.predict_file(model, tmp_path / "rows.parquet", tmp_path / "same.csv", text="id")
    assert (tmp_path / "same.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"id": [1.0, float("nan")], "comment_text": ["a", "b"]}, "row 2: column id holds None: expected an id"),
        ({"id": [1, 2], "comment_text": [3, 4]}, "row 1: column comment_text holds 3: expected a text"),
        ({"id": [1, 2], "comment_text": [["a"], ["b"]]}, "row 1: column comment_text holds"),
    ],
)
def test_cells_that_are_no_ids_or_texts_are_named(table, message, model, tmp_path):
    pd.DataFrame(table).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=message):
        export.predict_file(model, tmp_path / "rows.parquet", tmp_path / "out.csv")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.parquet"]


def test_labels_of_any_name_are_columns(tmp_path):
    labels = ["cost ($)", "a, b", 'the "x"', "y_tag", "y", "$x_1$", "%s {0}"]
    table = pd.DataFrame(np.arange(3 * len(labels)).reshape(3, -1) % 2, columns=labels)
    tagger = models.CountTagger().fit(["a goat", "a lamp", "no goat"], table)
    folder = models.save_tagger(tmp_path / "counts", tagger)
    pd.DataFrame({"id": range(5), "comment_text": ["a goat"] * 5}).to_csv(tmp_path / "rows.csv", index=False)
    command = ["predict", str(folder), str(tmp_path / "rows.csv"), "-o", str(tmp_path / "out.csv")]
    assert main([*command, "--tags"]) == 1  # y_tag would stand there twice
    assert main(command) == 0
    assert list(read(tmp_path / "out.csv").columns) == ["id", *labels]


def test_bad_files_are_named_and_what_was_scored_stays(model, rows, tmp_path):
    path = tmp_path / "rows.csv"
    rows.head(600).to_csv(path, index=False)
    with pytest.raises(DataError, match=r"rows\.csv: missing column message"):
        export.predict_file(model, path, tmp_path / "o.csv", text="message")
    with pytest.raises(FileNotFoundError, match="no such file"):
        export.predict_file(model, tmp_path / "none.csv", tmp_path / "o.csv")
    path.write_text(path.read_text() + "9,too,many,fields\n")
    with pytest.raises(DataError, match=r"rows\.csv"):
        export.predict_file(model, path, tmp_path / "o.csv", batch_rows=100)
    assert not (tmp_path / "o.csv").exists()
    path.write_text("id,comment_text\n")
    with pytest.raises(DataError, match="no rows"):
        export.predict_file(model, path, tmp_path / "p.csv")
    table = rows.head(50).rename(columns={"id": "rude"})
    table.to_csv(path, index=False)
    with pytest.raises(DataError, match="name of a label"):
        export.predict_file(model, path, tmp_path / "p.csv", id="rude")
    broken = rows.head(20).assign(comment_text=[*rows["comment_text"].head(19), None])
    broken.to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"rows\.parquet: row 20"):
        export.predict_file(model, tmp_path / "rows.parquet", tmp_path / "p.csv")


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux's /proc")
def test_memory_does_not_grow_with_the_file(model, rows, tmp_path):
    """Six times the rows, about the same peak; a file in memory would show."""
    code = (
        "import sys\nfrom helpers import export\n"
        "export.predict_file(*sys.argv[1:], batch_rows=500)\n"
        "print(next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1])"
    )
    peaks = []
    for times in (1, 6):
        path = tmp_path / f"{times}.csv"
        fat = rows.head(1000).assign(unused="x" * 20_000)
        for part in range(times):
            fat.to_csv(path, mode="a", index=False, header=part == 0)
        run = [sys.executable, "-c", code, str(model), str(path), str(tmp_path / f"{times}-out.csv")]
        peaks.append(int(subprocess.run(run, check=True, capture_output=True, text=True).stdout) / 1024)
    assert (tmp_path / "6.csv").stat().st_size / 2**20 > 90
    assert peaks[1] < peaks[0] + 90, peaks


def test_the_command_line_says_what_is_wrong(model, source, tmp_path, capsys):
    assert main(["predict", str(model), str(source), "-o", str(tmp_path / "o.csv"), "--tags"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "o.csv")
    assert list(read(tmp_path / "o.csv").columns) == ["id", *LABELS, "rude_tag", "kind_tag"]
    assert main(["predict", str(model), str(source), "-o", str(tmp_path / "o.csv")]) == 1
    assert "exists" in capsys.readouterr().err
    assert main(["predict", str(tmp_path), str(source), "-o", str(tmp_path / "p.csv")]) == 1
    assert "tagger.json is missing" in capsys.readouterr().err
    assert main(["predict", str(model), str(source), "-o", str(tmp_path / "p.csv"), "--text", "message"]) == 1
    assert "missing column message" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_no_home_is_needed(kind, model, rows, tmp_path):
    """Nothing is cached: neither a home that is missing nor one that cannot be made matters."""
    path = tmp_path / f"rows.{kind}"
    rows.head(5).to_parquet(path) if kind == "parquet" else rows.head(5).to_csv(path, index=False)
    caches = {"HF_HOME", "HF_DATASETS_CACHE", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "MPLCONFIGDIR"}
    environment = {name: value for name, value in os.environ.items() if name not in caches}
    command = [sys.executable, "-m", "helpers", "predict", str(model), str(path), "-o", str(tmp_path / "out.csv")]
    done = subprocess.run(command, env=environment | {"HOME": "/dev/null/home"}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert len(read(tmp_path / "out.csv")) == 5


def test_the_command_line_says_what_it_did_and_how_to_resume(model, source, tmp_path, capsys, monkeypatch):
    target = tmp_path / "out.csv"
    start(model, source, target, steps=3)
    real, calls = export.Predictor.predict_proba, []

    def interrupted(self, texts):
        calls.append(len(texts))
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(self, texts)

    monkeypatch.setattr(export.Predictor, "predict_proba", interrupted)
    monkeypatch.setitem(export.predict_file.__kwdefaults__, "batch_rows", 400)
    command = ["predict", str(model), str(source), "-o", str(target)]
    assert main(command) == 130
    stopped = capsys.readouterr().err.splitlines()[-1]
    assert stopped == "predict: stopped after 400 rows; the same command resumes from there"
    assert main(command) == 0
    shown = capsys.readouterr()
    assert shown.out == f"{target}\n"
    summary = r"predict: 1,000 rows, 400 of them by an earlier call, 712 texts truncated, [\d.]+ s"
    assert re.fullmatch(summary, shown.err.splitlines()[-1])
