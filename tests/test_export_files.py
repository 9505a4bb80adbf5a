"""Files of any size scored: the same answers as in memory, taken up after a kill, whole or not there."""

import os
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
    return models.save_tagger(folder, tagger, text.load_tokenizer(), labels=LABELS, thresholds=limits, max_tokens=32)


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
    done = list(export.predict_file(model, source, tmp_path / "out.csv", batch_rows=300))
    assert done == [300, 600, 900, 1000]
    found = read(tmp_path / "out.csv")
    assert found["id"].tolist() == rows["id"].tolist()
    expected = export.Predictor.load(model).predict(rows["comment_text"])
    np.testing.assert_allclose(found[LABELS], expected, atol=2e-6)
    assert expected.to_numpy().std() > 0.01
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.csv", "rows.csv"]


def test_parquet_and_tags(model, rows, tmp_path):
    rows.rename(columns={"id": "key", "comment_text": "words"}).to_parquet(tmp_path / "rows.parquet")
    list(export.predict_file(model, tmp_path / "rows.parquet", tmp_path / "o.csv", text="words", id="key", tags=True))
    found = pd.read_csv(tmp_path / "o.csv", dtype={"key": str})
    assert list(found.columns) == ["key", "rude", "kind", "rude_tag", "kind_tag"]
    tags = export.Predictor.load(model).tags(rows["comment_text"])
    assert (found[["rude_tag", "kind_tag"]].to_numpy() == tags.to_numpy()).all()
    assert found["key"].tolist() == rows["id"].tolist()


def test_a_stopped_call_goes_on(model, source, rows, tmp_path, monkeypatch):
    whole = tmp_path / "whole.csv"
    list(export.predict_file(model, source, whole, batch_rows=100))
    steps = export.predict_file(model, source, tmp_path / "out.csv", batch_rows=100)
    assert [next(steps) for _ in range(3)] == [100, 200, 300]
    steps.close()
    assert not (tmp_path / "out.csv").exists()
    with (tmp_path / "out.csv.part").open("a") as file:
        file.write("half a ro")  # killed between the rows and the note of them
    scored, real = [], export.Predictor.predict
    monkeypatch.setattr(export.Predictor, "predict", lambda self, texts: scored.extend(texts) or real(self, texts))
    done = list(export.predict_file(model, source, tmp_path / "out.csv", batch_rows=70))
    assert done[0] == 350
    assert scored == rows["comment_text"].tolist()[300:]
    same(tmp_path / "out.csv", whole)


def test_a_killed_process_goes_on(model, source, tmp_path):
    """A real process, a real kill."""
    slow = (
        "import sys, time\nfrom helpers import export\n"
        "for rows in export.predict_file(*sys.argv[1:], batch_rows=50):\n    print(rows, flush=True); time.sleep(0.2)\n"
    )
    command = [sys.executable, "-c", slow, str(model), str(source), str(tmp_path / "out.csv")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for _ in range(3):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
    assert not (tmp_path / "out.csv").exists()
    status = main(["predict", str(model), str(source), "-o", str(tmp_path / "out.csv")])
    assert status == 0
    list(export.predict_file(model, source, tmp_path / "whole.csv", batch_rows=50))
    same(tmp_path / "out.csv", tmp_path / "whole.csv")


def test_a_source_that_was_mended_goes_on(model, source, tmp_path):
    """What was scored before the bad row stays."""
    good = source.read_text()
    source.write_text(good + "9,too,many,fields\n")
    with pytest.raises(DataError, match=r"rows\.csv"):
        list(export.predict_file(model, source, tmp_path / "out.csv", batch_rows=100))
    source.write_text(good + "late,one more\n")
    assert next(iter(export.predict_file(model, source, tmp_path / "out.csv", batch_rows=100))) > 500


@pytest.mark.parametrize("ids", [[1234567891, 2, 3], [1234567.25, 2.5, 3.0], ["007", "NA", ""]])
def test_ids_of_parquet_are_copied_as_they_stand(ids, model, tmp_path):
    pd.DataFrame({"id": ids, "comment_text": list("abc")}).to_parquet(tmp_path / "rows.parquet")
    list(export.predict_file(model, tmp_path / "rows.parquet", tmp_path / "out.csv"))
    found = pd.read_csv(tmp_path / "out.csv", dtype=str, keep_default_na=False)["id"].tolist()
    assert found == [str(key) for key in ids]


def test_a_missing_id_is_named(model, tmp_path):
    pd.DataFrame({"id": ["a", None], "comment_text": ["b", "c"]}).to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"rows\.parquet: row 2: column id holds None"):
        list(export.predict_file(model, tmp_path / "rows.parquet", tmp_path / "out.csv"))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_name_is_no_pattern(kind, model, rows, tmp_path):
    path, other = tmp_path / f"forum[1].{kind}", tmp_path / f"forum1.{kind}"
    for file, part in ((path, rows.head(5)), (other, rows.tail(5))):
        part.to_parquet(file) if kind == "parquet" else part.to_csv(file, index=False)
    list(export.predict_file(model, path, tmp_path / "out.csv"))
    assert read(tmp_path / "out.csv")["id"].tolist() == rows["id"].head(5).tolist()


@pytest.mark.parametrize("change", ["source", "model", "tags"])
def test_another_file_model_or_setting_does_not_go_on(change, model, source, tmp_path):
    import shutil

    mine = shutil.copytree(model, tmp_path / "mine")
    steps = export.predict_file(mine, source, tmp_path / "out.csv", batch_rows=100)
    next(steps)
    steps.close()
    before = (tmp_path / "out.csv.part").read_bytes()
    if change == "source":
        source.write_text(source.read_text().replace("00050,", "x0050,"))
    if change == "model":
        settings = (mine / "tagger.json").read_text()
        (mine / "tagger.json").write_text(settings.replace("0.4", "0.45"))
    tags = {"tags": change == "tags"}
    with pytest.raises(FileExistsError, match=f"another {change}"):
        list(export.predict_file(mine, source, tmp_path / "out.csv", **tags))
    assert (tmp_path / "out.csv.part").read_bytes() == before
    list(export.predict_file(mine, source, tmp_path / "out.csv", force=True, **tags))
    assert len(read(tmp_path / "out.csv")) == 1000


def test_a_result_is_not_written_over(model, source, tmp_path):
    (tmp_path / "out.csv").write_text("precious")
    with pytest.raises(FileExistsError, match="exists"):
        next(export.predict_file(model, source, tmp_path / "out.csv"))
    with pytest.raises(FileExistsError, match="exists"):
        next(export.predict_file(model, source, source, force=True))
    assert (tmp_path / "out.csv").read_text() == "precious"
    list(export.predict_file(model, source, tmp_path / "out.csv", force=True))
    assert len(read(tmp_path / "out.csv")) == 1000


def test_two_processes_do_not_write_one_file(model, source, tmp_path):
    steps = export.predict_file(model, source, tmp_path / "out.csv", batch_rows=100)
    next(steps)
    with pytest.raises(BlockingIOError, match="another process"):
        next(export.predict_file(model, source, tmp_path / "out.csv"))
    assert list(steps)[-1] == 1000


def test_bad_files_are_named_and_what_was_scored_stays(model, rows, tmp_path):
    path = tmp_path / "rows.csv"
    rows.head(600).to_csv(path, index=False)
    with pytest.raises(DataError, match=r"rows\.csv: missing column message"):
        next(export.predict_file(model, path, tmp_path / "o.csv", text="message"))
    with pytest.raises(FileNotFoundError, match="no such file"):
        next(export.predict_file(model, tmp_path / "none.csv", tmp_path / "o.csv"))
    path.write_text(path.read_text() + "9,too,many,fields\n")
    with pytest.raises(DataError, match=r"rows\.csv"):
        list(export.predict_file(model, path, tmp_path / "o.csv", batch_rows=100))
    assert not (tmp_path / "o.csv").exists()
    path.write_text("id,comment_text\n")
    with pytest.raises(DataError, match="no rows"):
        list(export.predict_file(model, path, tmp_path / "p.csv"))
    table = rows.head(50).rename(columns={"id": "rude"})
    table.to_csv(path, index=False)
    with pytest.raises(DataError, match="name of a label"):
        next(export.predict_file(model, path, tmp_path / "p.csv", id="rude"))
    broken = rows.head(20).assign(comment_text=[*rows["comment_text"].head(19), None])
    broken.to_parquet(tmp_path / "rows.parquet")
    with pytest.raises(DataError, match=r"rows\.parquet: row 20"):
        list(export.predict_file(model, tmp_path / "rows.parquet", tmp_path / "p.csv"))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the peak is read from Linux's /proc")
def test_memory_does_not_grow_with_the_file(model, rows, tmp_path):
    """Six times the rows, about the same peak; a file in memory would show."""
    code = (
        "import sys\nfrom helpers import export\n"
        "for rows in export.predict_file(*sys.argv[1:], batch_rows=500): pass\n"
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
