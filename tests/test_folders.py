"""Folders that are written and read at once: no mix, nothing missing, nothing lost, nothing left."""

import os
import signal
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from helpers import folders

NAMES = ("a.json", "b.bin", "marker.json")


def write(folder, value, names=NAMES):
    with folders.replacing(folder, marker="marker.json") as new:
        for name in names:
            (new / name).write_text(str(value))


def read(folder):
    return [(folder / name).read_text() for name in NAMES]


def hidden(path):
    return [entry.name for entry in path.iterdir() if entry.name.startswith(".")]


WRITER = """
import sys, time
from helpers import folders
folder, value, end = sys.argv[1], 0, time.time() + float(sys.argv[2])
while time.time() < end:
    value += 1
    with folders.replacing(folder, marker="marker.json") as new:
        for name in ("a.json", "b.bin", "marker.json"):
            (new / name).write_text(f"{sys.argv[3]}{value}")
print(value)
"""


@pytest.mark.parametrize("exchange", [True, False])
def test_readers_never_see_a_mix_nor_a_missing_folder(tmp_path, exchange):
    """Two processes that write without a pause, two threads that read; also where names cannot be swapped."""
    folder = tmp_path / "model"
    write(folder, 0)
    code = WRITER if exchange else "from helpers import folders\nfolders._exchange = lambda *_: False\n" + WRITER
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(folder), "6", name], stdout=subprocess.PIPE, text=True)
        for name in "xy"
    ]
    seen, missing = [], []

    def look():
        while any(writer.poll() is None for writer in writers):
            seen.append(folders.read_whole(folder, lambda: read(folder)))

    def exists():
        while any(writer.poll() is None for writer in writers):
            missing.append(not folder.is_dir())

    threads = [threading.Thread(target=target) for target in (look, look, exists)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    written = [int(writer.communicate()[0]) for writer in writers]
    assert all(writer.returncode == 0 for writer in writers)
    assert min(written) > 10
    assert len(seen) > 100
    assert len({found[0] for found in seen}) > 10
    assert all(len(set(found)) == 1 for found in seen)
    if exchange:
        assert not any(missing)  # other programs find it too
    assert hidden(tmp_path) == []


def test_two_threads_write_one_after_the_other_and_both_end(tmp_path):
    threads = [threading.Thread(target=write, args=(tmp_path / "new" / "model", number)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(read(tmp_path / "new" / "model"))) == 1
    assert hidden(tmp_path / "new") == []


def test_what_a_killed_writer_left_is_removed_and_what_a_living_one_writes_is_not(tmp_path):
    write(tmp_path / "model", "old")
    code = (
        "import sys, time\nfrom helpers import folders\n"
        "with folders.replacing(sys.argv[1], marker='marker.json') as new:\n"
        "    (new / 'a.json').write_text('half')\n    print('there', flush=True)\n    time.sleep(60)\n"
    )
    writers = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "model")], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    for writer in writers:
        writer.stdout.readline()
    assert len(hidden(tmp_path)) == 2
    writers[0].send_signal(signal.SIGKILL)
    writers[0].wait()
    assert read(tmp_path / "model") == ["old"] * 3
    write(tmp_path / "model", "new")
    assert len(hidden(tmp_path)) == 1
    writers[1].kill()
    writers[1].wait()
    write(tmp_path / "model", "newer")
    assert hidden(tmp_path) == []


def test_a_writer_killed_between_two_renames_has_lost_nothing(tmp_path):
    write(tmp_path / "model", "old")
    (tmp_path / "model").rename(tmp_path / f".model.{'0' * 32}.old")
    with pytest.raises(OSError, match="full"), folders.replacing(tmp_path / "model", marker="marker.json"):
        raise OSError("full")
    assert read(tmp_path / "model") == ["old"] * 3
    assert hidden(tmp_path) == []


def test_an_error_leaves_the_old_folder(tmp_path):
    write(tmp_path / "model", "old")
    with pytest.raises(OSError, match="no space"), folders.replacing(tmp_path / "model", marker="marker.json") as new:
        (new / "a.json").write_text("new")
        raise OSError("no space")
    assert read(tmp_path / "model") == ["old"] * 3
    assert hidden(tmp_path) == []


def test_a_link_is_followed(tmp_path):
    write(tmp_path / "versions" / "1", "old")
    (tmp_path / "model").symlink_to(tmp_path / "versions" / "1")
    write(tmp_path / "model", "new")
    assert (tmp_path / "model").is_symlink()
    assert read(tmp_path / "versions" / "1") == ["new"] * 3
    (tmp_path / "file").write_text("mine")
    (tmp_path / "to_file").symlink_to(tmp_path / "file")
    with pytest.raises(FileExistsError, match="something else"):
        write(tmp_path / "to_file", "new")
    assert (tmp_path / "file").read_text() == "mine"


def test_files_of_others_are_neither_replaced_nor_lost(tmp_path, monkeypatch):
    write(tmp_path / "model", "old")
    (tmp_path / "model" / "notes.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"holds something beside such files, notes\.txt"):
        write(tmp_path / "model", "new")
    (tmp_path / "model" / "notes.txt").unlink()
    exchange = folders._exchange

    def late(new, folder):
        (folder / "notes.txt").write_text("mine")  # after the check
        return exchange(new, folder)

    monkeypatch.setattr(folders, "_exchange", late)
    write(tmp_path / "model", "new")
    assert read(tmp_path / "model") == ["new"] * 3
    assert (tmp_path / "model" / "notes.txt").read_text() == "mine"
    monkeypatch.chdir(tmp_path / "model")
    with pytest.raises(FileExistsError, match="is the working folder"):
        write(Path(), "new")


@pytest.mark.skipif(os.name == "nt", reason="POSIX modes")
@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_all_files_have_the_mode_that_the_umask_gives(tmp_path, umask):
    def mode(path):
        return oct(stat.S_IMODE(path.stat().st_mode))

    before = os.umask(umask)
    try:
        with folders.replacing(tmp_path / "model", marker="marker.json") as new:
            (new / "marker.json").write_text("")
            os.close(os.open(new / "weights", os.O_CREAT, 0o600))
        assert {mode(path) for path in (tmp_path / "model").iterdir()} == {oct(0o666 & ~umask)}
        assert mode(tmp_path / "model") == oct(0o777 & ~umask)
        (tmp_path / "model").chmod(0o700)
        with folders.replacing(tmp_path / "model", marker="marker.json") as new:
            (new / "marker.json").write_text("")
            (new / "weights").write_text("")
        assert mode(tmp_path / "model") == oct(0o700)
    finally:
        os.umask(before)


def test_a_lock_excludes_threads_and_processes_and_leaves_nothing(tmp_path):
    inside, most = 0, 0

    def work():
        nonlocal inside, most
        for _ in range(30):
            with folders.lock(tmp_path / "file"):
                inside += 1
                most = max(most, inside)
                time.sleep(0.0005)
                inside -= 1

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert list(tmp_path.iterdir()) == []
    code = "import sys\nfrom helpers import folders\nwith folders.lock(sys.argv[1], timeout=0): pass"
    with folders.lock(tmp_path / "file"):
        run = subprocess.run([sys.executable, "-c", code, str(tmp_path / "file")], capture_output=True, text=True)
    assert "another process is writing it" in run.stderr


@pytest.mark.parametrize("kind", ["content", "folder", "link"])
def test_a_file_of_the_locks_name_is_refused_and_kept(tmp_path, kind):
    path = tmp_path / ".file.lock"
    {
        "content": lambda: path.write_text("mine"),
        "folder": path.mkdir,
        "link": lambda: path.symlink_to(tmp_path / "other"),
    }[kind]()
    with (
        pytest.raises(FileExistsError, match=r"\.file\.lock is needed as a lock file"),
        folders.lock(tmp_path / "file"),
    ):
        pass
    assert path.is_symlink() or path.exists()
    assert not (tmp_path / "other").exists()


def test_a_file_is_replaced_with_its_mode_and_remains_go(tmp_path):
    path = tmp_path / "settings.json"
    path.write_text("old")
    path.chmod(0o640)
    (tmp_path / f".settings.json.{'a' * 32}.part").write_text("half")
    folders.replace_file(path, "new")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    assert hidden(tmp_path) == []


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_cannot_be_written_is_read(tmp_path):
    write(tmp_path / "model", "old")
    tmp_path.chmod(0o555)
    assert folders.read_whole(tmp_path / "model", lambda: read(tmp_path / "model")) == ["old"] * 3
    tmp_path.chmod(0o755)


def test_errors_of_the_reader_reach_the_caller(tmp_path):
    write(tmp_path / "model", "old")
    with pytest.raises(ValueError, match="mine"):
        folders.read_whole(tmp_path / "model", lambda: (_ for _ in ()).throw(ValueError("mine")))
    with pytest.raises(FileNotFoundError):
        folders.read_whole(tmp_path / "none", lambda: read(tmp_path / "none"))
    assert hidden(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "content", "key"),
    [
        ("config.json", '{"auto_map": {"AutoModel": "m.M"}}', "auto_map"),
        ("tokenizer_config.json", '{"auto_map": ["m.T", null]}', "auto_map"),
        ("processor_config.json", '{"image": {"auto_map": {"a": "b"}}}', "auto_map"),
        ("generation_config.json", '[{"custom_pipelines": {"a": 1}}]', "custom_pipelines"),
        ("config.4.0.0.json", '{"text_config": {"auto_map": {"AutoConfig": "m.C"}}}', "auto_map"),
        ("config.json", '{"attn_implementation": "who/kernel"}', "attn_implementation"),
        ("config.json", '{"_attn_implementation": {"": "who/kernel"}}', "_attn_implementation"),
    ],
)
def test_settings_that_name_code_are_refused_by_file_and_key(tmp_path, name, content, key):
    (tmp_path / name).write_text(content)
    with pytest.raises(ValueError, match=rf"{name.replace('.', '[.]')} names code to run \({key}\)"):
        folders.refuse_code(tmp_path)


def test_settings_without_code_and_broken_ones_are_left_to_their_readers(tmp_path):
    (tmp_path / "config.json").write_text('{"auto_map": {}, "attn_implementation": "sdpa", "id2label": {"0": "a/b"}}')
    (tmp_path / "tokenizer_config.json").write_text('{"half')
    (tmp_path / "deep_config.json").write_text("[" * 100_000)
    (tmp_path / "vocab.json").write_text('{"auto_map": 7}')
    assert folders.refuse_code(tmp_path) is None
    (tmp_path / "config.json").write_text('{"auto_map": {"AutoModel": "code.Model"}}')
    with pytest.raises(ValueError, match="auto_map"):
        folders.refuse_code(tmp_path)
