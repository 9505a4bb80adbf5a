"""The downloads, up to the network: the real libraries refuse what needs an account or a hub, with the way out."""

import hashlib
import os
import subprocess
import sys
import zipfile

import pytest

from helpers import datasets
from helpers.datasets import registry

JIGSAW_ZIP = "jigsaw-toxic-comment-classification-challenge.zip"


def run_command_line(*arguments, **environment):
    env = {k: v for k, v in os.environ.items() if not k.startswith("KAGGLE")} | environment
    return subprocess.run([sys.executable, "-m", "helpers", *arguments], capture_output=True, text=True, env=env)


def kaggle_zip(folder, comments_file):
    """What Kaggle sends: one zip that holds a zip for each table."""
    files = {
        "train.csv": comments_file("made/train.csv"),
        "test.csv": comments_file("made/test.csv", drop=datasets.loading.JIGSAW_LABELS),
        "test_labels.csv": comments_file("made/test_labels.csv", drop=["comment_text"]),
    }
    folder.mkdir()
    with zipfile.ZipFile(folder / JIGSAW_ZIP, "w") as outer:
        for name, file in files.items():
            inner = file.with_suffix(".csv.zip")
            with zipfile.ZipFile(inner, "w") as archive:
                archive.write(file, name)
            outer.write(inner, inner.name)
    return files


def publish(monkeypatch, name, content):
    """Make these bytes the published file of that name."""
    git_hash = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    monkeypatch.setitem(registry.PUBLISHED, name, registry.PUBLISHED[name]._replace(git_hash=git_hash))


def test_without_an_account_the_command_line_says_the_four_steps(tmp_path):
    done = run_command_line("download", "jigsaw", "--folder", str(tmp_path), HOME=str(tmp_path))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for fragment in (
        "Kaggle does not know you yet",
        "Accept the rules",
        "KAGGLE_API_TOKEN",
        "Or fetch the files in a browser",
    ):
        assert fragment in done.stderr
    assert not list(tmp_path.glob("jigsaw/*"))


def test_offline_the_imdb_download_says_what_to_do(tmp_path):
    done = run_command_line("download", "imdb", "--folder", str(tmp_path), HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for fragment in ("Hugging Face cannot be reached", "HF_HUB_OFFLINE is not set", "review,sentiment,split"):
        assert fragment in " ".join(done.stderr.split())


def test_an_unknown_name_is_refused():
    with pytest.raises(datasets.registry.DownloadError, match="'enron' cannot be downloaded; choose from jigsaw, imdb"):
        datasets.download("enron")


def test_a_missing_library_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(
        datasets.registry.DownloadError,
        match=r"kagglehub is not installed; .*%pip install kagglehub, .*-m pip install kagglehub",
    ):
        datasets.download("jigsaw", tmp_path)


def test_what_kaggle_sends_becomes_files_that_load(comments_file, tmp_path, monkeypatch):
    import kagglehub

    files = kaggle_zip(tmp_path / "sent", comments_file)
    monkeypatch.setattr(kagglehub, "competition_download", lambda name, force_download: str(tmp_path / "sent"))
    for name in ("train.csv", "test.csv"):
        publish(monkeypatch, name, files[name].read_bytes())
    placed = datasets.download("jigsaw", tmp_path / "data")
    assert [file.name for file in placed] == ["train.csv", "test.csv", "test_labels.csv"]
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "data"))
    assert len(datasets.load_comments("jigsaw")) == 4
    assert len(datasets.load_comments("jigsaw", subset="test")) == 4
    monkeypatch.setattr(kagglehub, "competition_download", lambda name, force_download: pytest.fail("fetched again"))
    assert datasets.download("jigsaw", tmp_path / "data") == placed


def test_a_file_that_is_not_the_competitions_is_not_kept(comments_file, tmp_path, monkeypatch):
    import kagglehub

    kaggle_zip(tmp_path / "sent", comments_file)
    monkeypatch.setattr(kagglehub, "competition_download", lambda name, force_download: str(tmp_path / "sent"))
    with pytest.raises(datasets.registry.DownloadError, match=r"not the competition's train\.csv \(its hash differs\)"):
        datasets.download("jigsaw", tmp_path / "data")
    assert not list((tmp_path / "data").rglob("*.csv*"))


def test_a_link_that_leads_out_of_what_was_sent_is_not_followed(comments_file, tmp_path, monkeypatch):
    import kagglehub

    sent = tmp_path / "sent"
    sent.mkdir()
    (sent / "train.csv").symlink_to(comments_file("elsewhere/train.csv"))
    monkeypatch.setattr(kagglehub, "competition_download", lambda name, force_download: str(sent))
    with pytest.raises(datasets.registry.DownloadError, match=r"Kaggle sent no train\.csv; it sent nothing"):
        datasets.download("jigsaw", tmp_path / "data")


def test_what_the_hub_sends_becomes_a_file_that_loads(tmp_path, monkeypatch):
    import datasets as hub

    parts = {"train": {"text": ["good", "bad, <br />"], "label": [1, 0]}, "test": {"text": ["fine"], "label": [1]}}
    monkeypatch.setattr(hub, "load_dataset", lambda name, split, download_mode: hub.Dataset.from_dict(parts[split]))
    assert [file.name for file in datasets.download("imdb", tmp_path)] == ["imdb.csv"]
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    frame = datasets.load_reviews("imdb", subset="train")
    assert frame[["comment_text", "positive"]].values.tolist() == [["good", 1], ["bad, <br />", 0]]


def test_the_command_line_lists_its_commands():
    done = run_command_line("--help")
    assert done.returncode == 0
    assert "download" in done.stdout
    assert run_command_line("download", "enron").returncode == 2


def test_force_fetches_again_and_a_failure_leaves_what_was_there(comments_file, tmp_path, monkeypatch):
    import kagglehub

    files = kaggle_zip(tmp_path / "sent", comments_file)
    forced = []
    monkeypatch.setattr(
        kagglehub,
        "competition_download",
        lambda name, force_download: forced.append(force_download) or tmp_path / "sent",
    )
    for name in ("train.csv", "test.csv"):
        publish(monkeypatch, name, files[name].read_bytes())
    placed = datasets.download("jigsaw", tmp_path / "data")
    before = [file.read_bytes() for file in placed]
    publish(monkeypatch, "test.csv", b"another file")
    with pytest.raises(datasets.registry.DownloadError, match=r"test\.csv \(its hash differs\)"):
        datasets.download("jigsaw", tmp_path / "data", force=True)
    assert forced == [False, True]
    assert [file.read_bytes() for file in placed] == before
    assert not list((tmp_path / "data").rglob("*.part"))
