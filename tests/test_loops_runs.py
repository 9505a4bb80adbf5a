"""What a run's folder refuses: every setting that changes a run's path, damaged files, and a second writer."""

import json
import os
import pickle
import subprocess
import sys
import zipfile
from functools import partial

import numpy as np
import pytest
import torch
from torch import nn

from helpers import loaders, loops, losses, models
from helpers.loops import checkpoints
from helpers.loops.fingerprints import fingerprint

ROWS, FEATURES = 40, 6
BITS = ["train_loss", "valid_loss", "valid_auc", "lr"]


class Killed(BaseException):
    """What a run is ended with; nothing in the loop may catch it."""


def table(seed=0):
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(ROWS, FEATURES)).astype(np.float32)
    labels = (features[:, :2] > 0).astype(np.float32)
    labels[::7, 1] = np.nan
    return features, labels


def net(width=8, dropout=0.2):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(FEATURES, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 2))


def run(
    folder, *, die_at=None, data=None, valid_data=None, model=None, order=None, opt=None, scheduler=None, **options
):
    """A run of which each setting can be changed; the model is returned with its history."""
    model = net() if model is None else model
    features, labels = table() if data is None else data
    order = {"batch_size": 8, "shuffle": True, "seed": 0} | (order or {})
    train = loaders.array_loader({"input": features}, labels, **order)
    features, labels = table(1) if valid_data is None else valid_data
    valid = loaders.array_loader({"input": features}, labels)
    kind, settings = opt or (torch.optim.AdamW, {})
    optimizer = kind(model.parameters(), **{"lr": 0.01} | settings)
    schedule = loops.linear_warmup(optimizer, steps=15) if scheduler is None else scheduler(optimizer)
    seen = 0

    def count(module, given):
        nonlocal seen
        seen += module.training
        if seen == die_at:
            raise Killed

    model.register_forward_pre_hook(count)
    settings = {"loss": losses.bce, "optimizer": optimizer, "scheduler": schedule, "valid": valid, "clip_norm": 1.0}
    settings |= {"epochs": 3, "folder": folder, "checkpoint_every": 1, "progress": False}
    return loops.fit(model, train, **settings | options), model


def none(optimizer):
    return None


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """A folder with a run that died in its second epoch."""
    folder = tmp_path_factory.mktemp("killed")
    with pytest.raises(Killed):
        run(folder, die_at=9)
    return folder


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("finished")
    return folder, *run(folder)


def changed(column, row, value):
    features, labels = table()
    {"feature": features, "label": labels}[column][row] = value
    return features, labels


def swapped():
    order = np.arange(ROWS)
    order[[3, 7]] = 7, 3
    return tuple(part[order] for part in table())


def frozen():
    model = net()
    model[0].requires_grad_(False)
    return model


def scaled(by):
    return lambda logits, targets: losses.bce(logits, targets) * by


TABLE = {
    "label": ({"data": changed("label", (5, 0), 0.5)}, r"training labels changed \(digest \w+ -> \w+\)"),
    "unknown label": ({"data": changed("label", (5, 0), np.nan)}, "training labels changed"),
    "feature": ({"data": changed("feature", (39, 5), 0.25)}, r"training input changed \(digest \w+ -> \w+\)"),
    "row order": ({"data": swapped()}, "training labels changed .*; training input changed"),
    "rows": ({"data": tuple(part[:-1] for part in table())}, "training input changed"),
    "validation label": ({"valid_data": (table(1)[0], table()[1])}, "validation labels changed"),
    "validation rows": ({"valid_data": tuple(part[::-1] for part in table(1))}, "validation input changed"),
    "no validation": ({"valid": None}, "validation input was digest .* and is absent"),
    "batch size": ({"order": {"batch_size": 10}}, "batch size was 8 and is 10"),
    "seed of the order": ({"order": {"seed": 1}}, "seed was 0 and is 1"),
    "shuffle": ({"order": {"shuffle": False}}, "shuffle was True and is False"),
    "learning rate": ({"opt": (torch.optim.AdamW, {"lr": 0.03})}, "learning rate was 0.01 and is 0.03"),
    "weight decay": ({"opt": (torch.optim.AdamW, {"weight_decay": 0.5})}, "weight decay was 0.01 and is 0.5"),
    "betas": ({"opt": (torch.optim.AdamW, {"betas": (0.8, 0.99)})}, r"betas was \(0.9, 0.999\) and is \(0.8, 0.99\)"),
    "optimizer": ({"opt": (torch.optim.Adam, {"weight_decay": 0.01})}, "optimizer was AdamW and is Adam"),
    "loss": ({"loss": losses.focal}, "loss was helpers.losses.binary.bce and is helpers.losses.binary.focal"),
    "settings of the loss": (
        {"loss": partial(losses.bce, pos_weight=torch.tensor([1.0, 2.0]))},
        r"loss pos_weight was absent and is \[1\.0, 2\.0\]",
    ),
    "a local loss": ({"loss": scaled(2)}, "loss was .*bce and is .*scaled"),
    "dropout": ({"model": net(dropout=0.3)}, "model 2 p was 0.2 and is 0.3"),
    "width": ({"model": net(width=9)}, r"weights of another model: .*parameter 0.weight was float32 \(8, 6\), trained"),
    "frozen layer": ({"model": frozen()}, r"parameter 0.weight was float32 \(8, 6\), trained and is .*, frozen"),
    "steps of the schedule": ({"scheduler": partial(loops.linear_warmup, steps=30)}, "steps was 15 and is 30"),
    "warm-up": ({"scheduler": partial(loops.linear_warmup, steps=15, warmup=5)}, "warmup_steps was 2 and is 5"),
    "no schedule": ({"scheduler": none}, "scheduler was LambdaLR and is None"),
    "another schedule": ({"scheduler": partial(torch.optim.lr_scheduler.StepLR, step_size=9)}, "and is StepLR"),
    "clip_norm": ({"clip_norm": 2.0}, "clip norm was 1.0 and is 2.0"),
    "no clipping": ({"clip_norm": None}, "clip norm was 1.0 and is None"),
    "accumulate": ({"accumulate": 2}, "accumulate was 1 and is 2"),
    "precision": ({"precision": "bf16-mixed"}, "precision was 32-true and is bf16-mixed"),
    "monitor": ({"monitor": "valid_auc"}, "monitor was valid_loss and is valid_auc"),
}


@pytest.mark.parametrize("name", TABLE)
def test_a_run_with_another_setting_is_refused_by_name(name, killed, finished):
    options, message = TABLE[name]
    for folder in (killed, finished[0]):
        before = (folder / "last.pt").read_bytes()
        model = options.get("model") or net()
        weights = [weight.clone() for weight in model.parameters()]
        with pytest.raises(loops.CheckpointError, match=message) as caught:
            run(folder, **options | {"model": model})
        assert str(folder / "last.pt") in str(caught.value)
        assert "another folder" in str(caught.value)
        assert (folder / "last.pt").read_bytes() == before
        assert all(torch.equal(one, two) for one, two in zip(weights, model.parameters(), strict=True))
        assert model.training


def test_another_seed_of_torch_is_refused(killed, monkeypatch):
    manual_seed = torch.manual_seed
    monkeypatch.setattr(torch, "manual_seed", lambda seed: manual_seed(seed + 1))
    with pytest.raises(loops.CheckpointError, match="torch seed was 0 and is 1"):
        run(killed)


def test_a_killed_run_that_is_called_again_unchanged_ends_with_the_same_bits(tmp_path, finished):
    with pytest.raises(Killed):
        run(tmp_path, die_at=9)
    with pytest.raises(loops.CheckpointError):
        run(tmp_path, clip_norm=2.0)  # changes nothing
    training, model = run(tmp_path, checkpoint_every=None, device="cpu")
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), finished[2].parameters(), strict=True))
    assert training.history[BITS].equals(finished[1].history[BITS])


@pytest.mark.parametrize("kind", ["int8", "int64", "float64", "tensor", "list"])
def test_the_same_values_of_another_type_are_the_same_run(kind, tmp_path, capsys):
    features, labels = table()
    labels = np.nan_to_num(labels)
    given = {"tensor": torch.tensor(labels), "list": labels.tolist()}
    run(tmp_path, data=(features, labels))
    run(tmp_path, data=(features, given[kind] if kind in given else labels.astype(kind)))
    assert "nothing was trained" in capsys.readouterr().out


def test_a_finished_run_is_read_back_and_says_so_in_one_line(finished, capsys):
    folder, before, trained = finished
    stamp = (folder / "last.pt").stat().st_mtime_ns
    training, model = run(folder)
    shown = capsys.readouterr()
    assert shown.out.splitlines() == [f"{folder}: this run is finished after 3 epochs; read back, nothing was trained"]
    assert (folder / "last.pt").stat().st_mtime_ns == stamp
    assert training.ended == "epochs"
    assert training.history.equals(before.history)
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), trained.parameters(), strict=True))


def test_a_run_that_trains_says_nothing(tmp_path, capsys):
    run(tmp_path)
    assert capsys.readouterr().out == ""


def test_epochs_grow_without_a_schedule_and_end_as_one_run(tmp_path):
    run(tmp_path / "two", scheduler=none, epochs=1)
    _, model = run(tmp_path / "two", scheduler=none)
    _, whole = run(tmp_path / "one", scheduler=none)
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), whole.parameters(), strict=True))


@pytest.mark.parametrize(
    "scheduler",
    [
        partial(loops.linear_warmup, steps=15),
        partial(torch.optim.lr_scheduler.OneCycleLR, max_lr=0.01, total_steps=15),
        partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=15),
        partial(torch.optim.lr_scheduler.PolynomialLR, total_iters=15),
        partial(torch.optim.lr_scheduler.LinearLR, start_factor=1.0, end_factor=0.0, total_iters=15),
    ],
)
def test_epochs_grow_no_further_than_the_schedule(scheduler, tmp_path):
    run(tmp_path, scheduler=scheduler, epochs=1)
    run(tmp_path, scheduler=scheduler, epochs=3)
    message = r"epochs was 3 and is 4\..* make it for 4 epochs from the start, in a new folder"
    with pytest.raises(loops.CheckpointError, match=message):
        run(tmp_path, scheduler=scheduler, epochs=4)


def test_a_stretched_schedule_is_refused_with_the_way_out(finished):
    with pytest.raises(loops.CheckpointError, match=r"steps was 15 and is 30; .*make it for 6 epochs from the start"):
        run(finished[0], epochs=6, scheduler=partial(loops.linear_warmup, steps=30))


def test_fewer_epochs_than_trained_are_refused(finished):
    with pytest.raises(loops.CheckpointError, match=r"epochs was 3 and is 2.*3 epochs are trained already"):
        run(finished[0], epochs=2)


def test_patience_may_grow_and_not_shrink(tmp_path):
    still = {"opt": (torch.optim.SGD, {"lr": 1e-30}), "scheduler": none, "epochs": 9, "model": net(dropout=0.0)}
    assert len(run(tmp_path, **still, patience=1)[0].rows) == 2
    training, _ = run(tmp_path, **still, patience=3)
    assert (training.ended, len(training.rows)) == ("patience", 4)
    with pytest.raises(loops.CheckpointError, match="patience was 3 and is 1"):
        run(tmp_path, **still, patience=1)


def damaged(path, kind):
    state = torch.load(path, weights_only=True)
    content = path.read_bytes()
    if kind == "truncated":
        path.write_bytes(content[: len(content) // 2])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "a flipped bit":
        with zipfile.ZipFile(path) as archive:
            place = next(part.header_offset for part in archive.infolist() if part.filename.endswith("data/0"))
        flipped = bytearray(content)
        flipped[place + 128] ^= 1
        path.write_bytes(flipped)
    elif kind == "a tensor":
        torch.save(torch.zeros(3), path)
    elif kind == "a list":
        torch.save([1, 2], path)
    elif kind == "weights":
        torch.save(state["model"], path)
    elif kind == "a pickle":
        path.write_bytes(pickle.dumps({"model": os.getcwd}))
    elif kind == "an object":
        torch.save({"model": partial(print)}, path)
    elif kind == "an old version":
        torch.save({name: part for name, part in state.items() if name != "fingerprint"}, path)
    elif kind == "json":
        path.write_text(json.dumps({"model": 1}))
    elif kind == "a folder":
        path.unlink()
        path.mkdir()
    elif kind.startswith("without"):
        name = kind.split()[1]
        torch.save({key: part for key, part in state.items() if key != name}, path)
    else:
        name, _, inner = kind.partition(" ")
        torch.save(state | {name: {key: part for key, part in state[name].items() if key != inner}}, path)


KINDS = ["truncated", "empty", "a flipped bit", "a tensor", "a list", "weights", "a pickle", "an object"]
KINDS += [
    "an old version",
    "json",
    "a folder",
    "without rng",
    "without fingerprint",
    "without state",
    "optimizer state",
    "model 0.weight",
]
KINDS += ["state rows", "state epoch", "state loss_sum", "limits epochs", "scheduler last_epoch"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_or_foreign_checkpoint_is_named(kind, tmp_path, finished):
    path = tmp_path / "last.pt"
    path.write_bytes((finished[0] / "last.pt").read_bytes())
    damaged(path, kind)
    with pytest.raises(loops.CheckpointError, match=r"last\.pt: .*delete"):
        run(tmp_path)


def test_a_deleted_checkpoint_begins_anew_and_old_best_weights_do_not_stay(tmp_path):
    run(tmp_path)
    (tmp_path / "last.pt").unlink()
    run(tmp_path, valid=None)
    with pytest.raises(loops.CheckpointError, match=r"best\.safetensors"):
        loops.load_best(tmp_path, net())


def test_a_second_run_into_the_same_folder_at_once_is_refused(tmp_path):
    with checkpoints.locked(tmp_path), pytest.raises(loops.CheckpointError, match="another run of fit writes into"):
        run(tmp_path)
    source = "import sys; from pathlib import Path; from helpers.loops import checkpoints as c\n"
    source += "with c.locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", source, str(tmp_path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(loops.CheckpointError, match="wait until it ends, or choose another folder"):
            run(tmp_path)
        other.kill()
    run(tmp_path)  # a lock is gone with the process that held it


def test_files_are_readable_as_others_and_remains_are_removed(tmp_path):
    for name in ("last.pt.part", "last.pt.0f.part", "best.safetensors.1.part"):
        (tmp_path / name).write_bytes(b"of a run that was killed")
    (tmp_path / "notes.part").write_text("the user's own")
    previous = os.umask(0o022)
    try:
        run(tmp_path)
    finally:
        os.umask(previous)
    assert {path.name for path in tmp_path.iterdir()} == {"last.pt", "best.safetensors", "fit.lock", "notes.part"}
    assert {oct((tmp_path / name).stat().st_mode & 0o777) for name in ("last.pt", "best.safetensors")} == {"0o644"}


def test_each_state_is_written_once(tmp_path, monkeypatch):
    written = []
    save = checkpoints.RunFolder.save_last
    monkeypatch.setattr(checkpoints.RunFolder, "save_last", lambda *parts: (written.append(1), save(*parts)))
    run(tmp_path, checkpoint_every=None)
    assert len(written) == 3


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="expected a folder, found a file"):
        run(tmp_path / "file")


def tied():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(FEATURES, FEATURES), nn.Linear(FEATURES, FEATURES), nn.Linear(FEATURES, 2))
    model[1].weight = model[0].weight
    return model


def test_tied_weights_are_kept_and_read(tmp_path):
    _, model = run(tmp_path / "tied", model=tied())
    again = tied()
    loops.load_best(tmp_path / "tied", again)
    assert again[0].weight is again[1].weight
    with pytest.raises(Killed):
        run(tmp_path / "killed", model=tied(), die_at=9)
    _, resumed = run(tmp_path / "killed", model=tied())
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), resumed.parameters(), strict=True))


def test_a_compiled_model_and_a_plain_one_share_a_folder(tmp_path, finished, capsys):
    with pytest.raises(Killed):
        run(tmp_path, die_at=9)
    compiled = torch.compile(net(), backend="eager")
    _, model = run(tmp_path, model=compiled)
    assert all(torch.equal(one, two) for one, two in zip(model.parameters(), finished[2].parameters(), strict=True))
    run(tmp_path)
    assert "nothing was trained" in capsys.readouterr().out
    loops.load_best(tmp_path, net())
    loops.load_best(tmp_path, torch.compile(net(), backend="eager"))


def test_files_on_disk_count_by_their_content(tmp_path):
    lines = ["id,comment_text,rude"] + [f"{n},text number {n} is here,{n % 2}" for n in range(24)]
    changed = [*lines[:-1], lines[-1].replace("text", "word")]
    for name, content in (("one", lines), ("two", lines), ("three", changed)):
        (tmp_path / f"{name}.csv").write_text("\n".join(content) + "\n")
    _, tokenizer = models.load_encoder()

    def over(name):
        torch.manual_seed(0)
        tokens = loaders.tokenize_files(tmp_path / f"{name}.csv", tokenizer, cache=tmp_path / f"cache-{name}")
        loader = loaders.file_loader(tokens, batch_size=8, shuffle=True)
        settings = {"data": loader, "loss": losses.bce, "model": nn.Linear(2, 1)}
        return fingerprint(**settings)

    assert over("one") == over("two")
    assert over("one") != over("three")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss": 1}, "settings: 'loss' is recorded already"),
        ({"clip_norm": 1}, "settings: 'clip_norm' is recorded already"),
        ({3: 1}, "settings: 3 is no name"),
        ({"cells": [1]}, r"settings\['cells'\] is a list: expected a text, a number"),
        (["cells"], "settings is a list"),
    ],
)
def test_settings_that_cannot_be_recorded_are_refused(settings, message, tmp_path):
    for folder in (None, tmp_path):
        with pytest.raises(ValueError, match=message):
            run(folder, settings=settings)


def test_own_settings_are_part_of_what_a_run_is(tmp_path):
    run(tmp_path, settings={"cleaned": True})
    with pytest.raises(loops.CheckpointError, match="cleaned was True and is False"):
        run(tmp_path, settings={"cleaned": False})
    with pytest.raises(loops.CheckpointError, match="cleaned was True and is absent"):
        run(tmp_path, settings={})
