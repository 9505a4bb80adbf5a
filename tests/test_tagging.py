"""The Lightning module against the loop, its scores against ours, its checkpoints, curves and words."""

import os
import shutil

import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import BertConfig, BertModel

from helpers import datasets, loaders, loops, losses, metrics, models, tagging, text

PLAIN = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_model_summary": False}
PLAIN |= {"enable_progress_bar": False, "use_distributed_sampler": False, "num_sanity_val_steps": 2}


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(**sizes)).save_pretrained(folder)
    text.load_tokenizer().save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def parts():
    comments = datasets.load_comments("sample")
    train, valid, test = comments[:300].copy(), comments[300:500].copy(), comments[500:700].copy()
    return train, valid, test


LABELS = list(datasets.loading.JIGSAW_LABELS)


def data_of(parts, encoder, **options):
    return tagging.CommentDataModule(*parts, encoder=encoder, max_length=24, batch_size=32, **options)


def train(module, data, seed=2, **options):
    with tagging.quiet():
        trainer = pl.Trainer(**PLAIN | {"max_epochs": 2} | options)
        torch.manual_seed(seed)
        trainer.fit(module, datamodule=data)
    return trainer


def fresh(encoder, **options):
    torch.manual_seed(1)
    return tagging.CommentTagger(LABELS, encoder=encoder, lr=1e-3, **options)


def by_hand(parts, encoder, *, accumulate=1, loss=losses.bce, layer_decay=1.0, train_only=False):
    """The same run by `loops.fit`."""
    torch.manual_seed(1)
    model, tokenizer = models.load_encoder(encoder)
    tagger = models.BertTagger(model, len(LABELS))
    optimizer = torch.optim.AdamW(models.parameter_groups(tagger, lr=1e-3, layer_decay=layer_decay), fused=True)
    tokens = loaders.tokenize(parts[0]["comment_text"], tokenizer, max_length=24)
    rows = loaders.token_loader(tokens, parts[0][LABELS], batch_size=32, shuffle=True)
    schedule = loops.linear_warmup(optimizer, steps=2 * -(-len(rows) // accumulate))
    options = {"loss": loss, "optimizer": optimizer, "scheduler": schedule, "accumulate": accumulate}
    torch.manual_seed(2)
    ran = loops.fit(tagger, rows, epochs=2, clip_norm=1.0, progress=False, **options)
    return tagger, ran


def unknown_here_and_there(table):
    rng, table = np.random.default_rng(0), table.copy()
    table[LABELS] = table[LABELS].astype(np.float32).mask(rng.random((len(table), len(LABELS))) < 0.3)
    return table


@pytest.mark.parametrize(
    ("accumulate", "unknown", "options"),
    [(1, False, {}), (3, False, {}), (3, True, {}), (1, True, {"loss": "focal", "layer_decay": 0.8})],
)
def test_the_weights_are_those_of_the_loop(accumulate, unknown, options, parts, encoder):
    parts = (unknown_here_and_there(parts[0]), *parts[1:]) if unknown else parts
    module = fresh(encoder, **options)
    trainer = train(module, data_of(parts, encoder), gradient_clip_val=1.0, accumulate_grad_batches=accumulate)
    hand = options | {"loss": getattr(losses, options.get("loss", "bce"))}
    tagger, ran = by_hand(parts, encoder, accumulate=accumulate, **hand)
    for (name, one), other in zip(tagger.named_parameters(), module.model.parameters(), strict=True):
        # Adam divides by the gradient's own size: where that is near zero, its rounding counts (a step is 1e-3).
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0, msg=lambda text, name=name: f"{name}: {text}")
    found = trainer.callback_metrics
    assert float(found["train_loss"]) == pytest.approx(ran.history["train_loss"].iloc[-1], abs=1e-6)
    rows = data_of(parts, encoder)
    rows.setup()
    expected = loops.evaluate(tagger, rows.val_dataloader(), loss=hand["loss"])
    assert float(found["valid_loss"]) == pytest.approx(expected["loss"], abs=1e-6)
    assert float(found["valid_auc"]) == pytest.approx(expected["auc"], abs=1e-6)


def test_the_first_step_does_change_the_weights(parts, encoder):
    module = fresh(encoder)
    before = module.model.head.weight.clone()
    train(module, data_of(parts, encoder), max_epochs=1)
    assert (module.model.head.weight - before).abs().max() > 1e-3


def scored(rows=200):
    rng = np.random.default_rng(0)
    targets = (rng.random((rows, 3)) < [0.4, 0.1, 0.0]).astype(np.float32)
    logits = rng.normal(size=targets.shape).astype(np.float32).round(1) + targets
    targets[::7, 0] = np.nan
    return torch.from_numpy(targets), torch.from_numpy(logits)


@pytest.mark.filterwarnings("ignore:label")
@pytest.mark.parametrize("size", [200, 64, 7, 1])
def test_the_streamed_auc_is_ours_with_unknown_labels_and_a_label_without_positives(size):
    targets, logits = scored()
    score = tagging.module.LabelAUROC(["a", "b", "c"])
    for start in range(0, len(targets), size):
        score.update(logits[start : start + size], targets[start : start + size])
    score.update(logits[:0], targets[:0])  # a process without rows
    expected = metrics.auc_by_label(targets, torch.sigmoid(logits))
    np.testing.assert_allclose(score.compute(), expected, atol=1e-6)
    assert score.compute()[2].isnan()


def test_one_label_has_an_auc_too():
    targets, logits = scored()
    score = tagging.module.LabelAUROC(["a"])
    score.update(logits[:, :1], targets[:, :1])
    known = ~targets[:, 0].isnan()
    expected = metrics.mean_auc(targets[known, :1], torch.sigmoid(logits[known, :1]))
    assert float(score.compute()) == pytest.approx(expected, abs=1e-6)


@pytest.fixture(scope="module")
def finished(parts, encoder, tmp_path_factory):
    """A run with everything on: its folder, its module, its trainer."""
    folder = tmp_path_factory.mktemp("run")
    module = fresh(encoder, thresholds={"toxic": 0.3})
    callbacks = [
        tagging.EpochLines(),
        pl.callbacks.ModelCheckpoint(folder / "kept", "best", monitor="valid_auc", mode="max"),
        pl.callbacks.ModelCheckpoint(folder / "kept", "last"),
        pl.callbacks.EarlyStopping(monitor="valid_loss", patience=2),
    ]
    logger = pl.loggers.TensorBoardLogger(folder, name="curves", version="")
    options = {"callbacks": callbacks, "logger": logger, "enable_checkpointing": True, "log_every_n_steps": 1}
    options["enable_progress_bar"] = True
    trainer = train(module, data_of(parts, encoder), max_epochs=3, **options)
    return folder, module, trainer


def test_a_checkpoint_needs_nothing_else(finished, encoder, tmp_path, monkeypatch):
    folder, module, _ = finished
    shutil.copy(folder / "kept" / "last.ckpt", tmp_path / "alone.ckpt")
    monkeypatch.setattr(models, "load_encoder", lambda *_: pytest.fail("the encoder's files were asked for"))
    again = tagging.CommentTagger.load_from_checkpoint(tmp_path / "alone.ckpt")
    assert not again.training
    assert again.labels == LABELS
    assert again.thresholds == {name: 0.3 if name == "toxic" else 0.5 for name in LABELS}
    assert again.hparams["encoder"] == encoder
    for (name, one), other in zip(module.state_dict().items(), again.state_dict().values(), strict=True):
        assert torch.equal(one, other), name
    kept = {type(part).__name__ for part in again.model.modules()}
    assert "FastDropout" in kept
    monkeypatch.undo()
    with pytest.raises(ValueError, match=r"thresholds \{.kind.: 0.5\} are for no label"):
        again.thresholds = {"kind": 0.5}
    again.thresholds = pd.Series({"toxic": 0.25, "threat": float("inf")})  # never
    with pytest.raises(ValueError, match="not from 0 to 1"):
        again.thresholds = {"toxic": float("nan")}
    state = torch.load(tmp_path / "alone.ckpt", weights_only=True)
    torch.save(state | {"hyper_parameters": dict(again.hparams)}, tmp_path / "changed.ckpt")
    changed = tagging.CommentTagger.load_from_checkpoint(tmp_path / "changed.ckpt")
    assert changed.thresholds == {**dict.fromkeys(LABELS, 0.5), "toxic": 0.25, "threat": float("inf")}


class Evil:
    """What runs when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("evil_was_here",)


def test_a_checkpoint_that_would_run_code_is_refused(finished, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = torch.load(finished[0] / "kept" / "last.ckpt", weights_only=True)
    state["hyper_parameters"]["lr"] = Evil()
    torch.save(state, "evil.ckpt")
    with pytest.raises(Exception, match="Weights only load failed"):
        tagging.CommentTagger.load_from_checkpoint("evil.ckpt")
    assert not (tmp_path / "evil_was_here").exists()


def test_best_is_best(finished, parts, encoder):
    folder, _, trainer = finished
    best = tagging.CommentTagger.load_from_checkpoint(folder / "kept" / "best.ckpt")
    rows = data_of(parts, encoder)
    rows.setup()
    found = loops.evaluate(best.model, rows.val_dataloader(), loss=losses.bce)
    assert found["auc"] == pytest.approx(float(trainer.checkpoint_callback.best_model_score), abs=1e-6)
    assert float(trainer.callback_metrics["valid_auc"]) <= found["auc"] + 1e-6


def test_the_curves_are_in_the_event_file(finished):
    folder = finished[0]
    events = EventAccumulator(str(folder / "curves"))
    events.Reload()
    names = events.Tags()["scalars"]
    assert {"train_loss", "valid_loss", "valid_auc", "train_loss_step"} <= set(names)
    assert {f"{stage}_auc/{name}" for stage in ("train", "valid") for name in LABELS} <= set(names)
    assert len(events.Scalars("valid_loss")) == 3
    assert len(events.Scalars("train_loss_step")) == 30


def test_a_line_an_epoch_is_all_that_is_said(parts, encoder, capsys):
    train(fresh(encoder), data_of(parts, encoder), callbacks=[tagging.EpochLines()], enable_progress_bar=True)
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    assert all(name in lines[0] for name in ("train loss 0.", "valid loss 0.", "valid auc 0."))
    assert said.err == ""


def test_the_learning_rate_finder_finds_its_argument(parts, encoder, tmp_path):
    module = fresh(encoder)
    data = tagging.CommentDataModule(*parts, encoder=encoder, max_length=24, batch_size=8)
    with tagging.quiet():
        trainer = pl.Trainer(**PLAIN | {"max_epochs": 1, "default_root_dir": tmp_path})
        found = pl.tuner.Tuner(trainer).lr_find(module, datamodule=data, num_training=30, min_lr=1e-5)
    assert len(found.results["loss"]) == 30
    assert module.lr == found.suggestion() != 1e-3


def test_the_test_rows_are_scored_and_predicted_in_their_order(finished, parts, encoder):
    module, data = finished[1], data_of(parts, encoder)
    with tagging.quiet():
        trainer = pl.Trainer(**PLAIN)
        scores = trainer.test(module, datamodule=data, verbose=False)[0]
        said = tagging.predict_proba(trainer, module, data)
    assert scores["test_auc"] == pytest.approx(metrics.mean_auc(parts[2][LABELS], said), abs=1e-6)
    rows = loops.predict_proba(module.model, data.test_dataloader())
    np.testing.assert_allclose(said, rows, atol=1e-5)


def test_precision_is_passed_through_and_clips(parts, encoder):
    module, seen = fresh(encoder), set()
    module.model.head.register_forward_pre_hook(lambda *_: None)
    layer = module.model.layers()[0].intermediate.dense
    layer.register_forward_hook(lambda _, __, out: seen.add(out.dtype))
    train(module, data_of(parts, encoder), max_epochs=1, precision="bf16-mixed", gradient_clip_val=1.0)
    assert seen == {torch.bfloat16}
    assert {weight.dtype for weight in module.parameters()} == {torch.float32}


def test_frozen_parts_rest_and_the_others_train(parts, encoder):
    module = fresh(encoder)
    module.model.freeze()
    before = [weight.clone() for weight in module.model.encoder.parameters()]
    seen = []

    class Look(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, *rest):
            dropouts = [part.training for part in pl_module.model.encoder.encoder.modules() if hasattr(part, "p")]
            seen.append((any(dropouts), pl_module.model.dropout.training))

    train(module.eval(), data_of(parts, encoder), max_epochs=1, callbacks=[Look()])
    assert all(torch.equal(one, other) for one, other in zip(before, module.model.encoder.parameters(), strict=True))
    assert len(seen) == 10
    assert all(head for _, head in seen)


def test_weights_that_are_not_finite_end_the_run_and_are_not_saved(parts, encoder, tmp_path):
    """An infinite rate in the last step of an epoch: the loss before it is finite."""
    last = pl.callbacks.ModelCheckpoint(tmp_path, "last")
    kept = [pl.callbacks.ModelCheckpoint(tmp_path, "best", monitor="valid_loss"), last]

    class Leap(pl.Callback):
        def __init__(self, batch):
            self.batch = batch

        def on_before_optimizer_step(self, trainer, pl_module, optimizer):
            if trainer.fit_loop.batch_idx == self.batch:
                optimizer.param_groups[0]["lr"] = float("inf")

    options = {"enable_checkpointing": True, "max_epochs": 1}
    with pytest.raises(loops.LossError, match=r"the weights .* are not finite in epoch 1"):
        train(fresh(encoder), data_of(parts, encoder), callbacks=[*kept, Leap(9)], **options)
    with pytest.raises(loops.LossError, match=r"the weights .* are not finite in epoch 1"):
        blind = options | {"limit_val_batches": 0}
        train(fresh(encoder), data_of(parts, encoder), callbacks=[last, Leap(9)], **blind)
    with pytest.raises(loops.LossError, match="the loss is nan at epoch 1, batch 5"):
        train(fresh(encoder), data_of(parts, encoder), callbacks=[*kept, Leap(3)], **options)
    assert not list(tmp_path.glob("*.ckpt"))


def test_a_gradient_is_not_clipped_to_a_negative_length(parts, encoder):
    with pytest.raises(ValueError, match=r"gradient_clip_val=-1.0: expected a number, at least 0"):
        train(fresh(encoder), data_of(parts, encoder), gradient_clip_val=-1.0)


def test_each_part_is_after_a_run_in_the_mode_in_which_it_was(parts, encoder):
    module, seen = fresh(encoder), []
    module.model.encoder.eval()  # deliberately: no dropout in the encoder, and all of it is trained

    class Look(pl.Callback):
        def on_train_batch_start(self, trainer, pl_module, *rest):
            seen.append((pl_module.model.encoder.training, pl_module.model.head.training))

        def on_validation_batch_start(self, trainer, *rest):
            if trainer.current_epoch == 1 and not trainer.sanity_checking:
                raise RuntimeError("the power failed")

    with pytest.raises(RuntimeError, match="power failed"):
        train(module, data_of(parts, encoder), callbacks=[Look()])
    assert set(seen) == {(False, True)}
    assert len(seen) == 20
    assert (module.training, module.model.encoder.training, module.model.head.training) == (True, False, True)
    train(module.eval(), data_of(parts, encoder), max_epochs=1)
    assert not any(part.training for part in module.modules())


def test_a_compiled_tagger_is_trained_saved_and_opened_as_the_plain_one(parts, encoder, tmp_path):
    plain, compiled = fresh(encoder), fresh(encoder)
    compiled.model = torch.compile(compiled.model, backend="eager")
    saving = pl.callbacks.ModelCheckpoint(tmp_path, "compiled")
    train(plain, data_of(parts, encoder), max_epochs=1)
    train(compiled, data_of(parts, encoder), max_epochs=1, callbacks=[saving], enable_checkpointing=True)
    again = tagging.CommentTagger.load_from_checkpoint(tmp_path / "compiled.ckpt")
    for (name, one), other in zip(plain.model.named_parameters(), again.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0, msg=name)
    with tagging.quiet():
        scores = [
            pl.Trainer(**PLAIN).validate(module, datamodule=data_of(parts, encoder), verbose=False, ckpt_path=path)
            for module, path in [(again, None), (compiled, tmp_path / "compiled.ckpt")]
        ]
    assert scores[0][0]["valid_loss"] == pytest.approx(scores[1][0]["valid_loss"], abs=1e-6)


def test_a_loader_of_another_process_is_refused(parts, encoder):
    data = data_of(parts, encoder)
    data.setup()
    half = loaders.token_loader(data.tokens["train"], parts[0][LABELS], shuffle=True, rank=0, world_size=2)
    with tagging.quiet(), pytest.raises(ValueError, match="share of rank 0 of 2, and this is process 0 of 1"):
        pl.Trainer(**PLAIN | {"max_epochs": 1}).fit(fresh(encoder), half)
    with tagging.quiet(), pytest.raises(ValueError, match="share of rank 0 of 2, and this is process 0 of 1"):
        pl.Trainer(**PLAIN).test(fresh(encoder), half, verbose=False)


def test_a_loss_that_is_not_finite_ends_the_run(parts, encoder):
    module = fresh(encoder)
    module.model.head.bias.data.fill_(torch.nan)
    with pytest.raises(loops.LossError, match="the loss is nan at epoch 1, batch 1"):
        train(module, data_of(parts, encoder), num_sanity_val_steps=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": []}, r"labels=\[\]: expected a list of different names"),
        ({"labels": ["a", "a"]}, "different names"),
        ({"labels": ["a"], "loss": "hinge"}, "loss='hinge'"),
        ({"labels": ["a"], "thresholds": {"a": 2}}, "not from 0 to 1"),
        ({"labels": "toxic"}, "labels='toxic': expected a list"),
        ({"labels": ["a"], "pooling": "max"}, "pooling='max': expected 'mean'"),
        *(({"labels": ["a"], "lr": value}, "lr=.*above 0") for value in (0, -1e-3, float("nan"), float("inf"), "1e-3")),
        *(({"labels": ["a"], "weight_decay": value}, "weight_decay=.*at least 0") for value in (-0.1, float("nan"))),
        *(({"labels": ["a"], "layer_decay": value}, "layer_decay=") for value in (0, 1.5, float("nan"))),
        *(({"labels": ["a"], "warmup": value}, "warmup=") for value in (-1, 1.5, float("nan"), True, "10")),
        *(({"labels": ["a"], "dropout": value}, "dropout=.*below 1") for value in (1, -0.1, float("nan"))),
        *(({"labels": ["a"], "max_length": value}, "max_length=.*whole number") for value in (0, 64.0, None)),
    ],
)
def test_a_tagger_that_cannot_be_is_refused_before_its_encoder_is_loaded(options, message):
    with pytest.raises(ValueError, match=message):
        tagging.CommentTagger(**{"encoder": "no/such/folder"} | options)


def test_numpys_numbers_and_names_are_saved_as_plain_values(parts, encoder, tmp_path):
    labels, numbers = pd.Index(LABELS), {"lr": np.float64(1e-3), "warmup": np.int64(1), "max_length": np.int32(24)}
    module = tagging.CommentTagger(labels, encoder=encoder, **numbers)
    trainer = train(module, data_of(parts, encoder), max_epochs=1, limit_train_batches=2, limit_val_batches=0)
    trainer.save_checkpoint(tmp_path / "plain.ckpt")
    again = tagging.CommentTagger.load_from_checkpoint(tmp_path / "plain.ckpt")
    assert (again.labels, again.hparams["lr"], again.hparams["warmup"]) == (LABELS, 1e-3, 1)


EARLY, KEEPS = pl.callbacks.EarlyStopping, pl.callbacks.ModelCheckpoint


@pytest.mark.parametrize(
    ("callback", "options", "message"),
    [
        (
            EARLY("val_loss"),
            {},
            "EarlyStopping.monitor='val_loss'.: expected one of train_loss, .*valid_loss, valid_auc",
        ),
        (KEEPS(monitor="valid_accuracy"), {"enable_checkpointing": True}, "ModelCheckpoint.*valid_auc/threat"),
        (EARLY("valid_auc"), {}, "mode='min'.: expected mode='max'"),
        (EARLY("valid_loss", mode="max"), {}, "mode='max'.: expected mode='min'"),
        (EARLY("valid_loss"), {"limit_val_batches": 0}, "expected one of train_loss.*without a validation set"),
    ],
)
def test_a_monitor_that_is_never_logged_is_refused_before_the_first_step(callback, options, message, parts, encoder):
    module = fresh(encoder)
    before = module.model.head.weight.clone()
    with pytest.raises(ValueError, match=message):
        train(module, data_of(parts, encoder), callbacks=[callback], **options)
    assert torch.equal(module.model.head.weight, before)


def test_rows_are_split_balanced_and_limited(encoder):
    data = tagging.CommentDataModule("sample", 0.2, 0.3, encoder=encoder, negatives=100, max_rows=1_000)
    train_rows, valid, test = (data.sources[name] for name in ("train", "valid", "test"))
    assert (len(valid), len(test)) == pytest.approx((200, 300), abs=5)
    assert (train_rows[LABELS].sum(axis=1) == 0).sum() == 100
    ids = pd.concat([train_rows["id"], valid["id"], test["id"]])
    assert ids.is_unique
    assert data.labels == LABELS


def test_data_that_do_not_go_together_are_refused(parts, encoder, tmp_path):
    parts[0].to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(ValueError, match="files must be split beforehand"):
        tagging.CommentDataModule(str(tmp_path / "rows.csv"), 0.2, encoder=encoder)
    data = tagging.CommentDataModule(*parts[:2], encoder=encoder)
    data.setup()
    with pytest.raises(ValueError, match=r"there are no test rows: name them, CommentDataModule\(..., test="):
        data.test_dataloader()
    data.trainer = pl.Trainer(**PLAIN | {"use_distributed_sampler": True, "devices": 2, "strategy": "ddp"})
    with pytest.raises(ValueError, match="pass use_distributed_sampler=False"):
        data.train_dataloader()


def test_a_table_may_test_a_run_over_files_and_the_other_way_round(parts, encoder, tmp_path):
    paths = [str(tmp_path / name) for name in ("one.csv", "two.csv")]
    for table, path in zip(parts, paths, strict=False):
        table[:20].to_csv(path, index=False)
    assert tagging.CommentDataModule(*paths, parts[2], encoder=encoder).labels == LABELS
    assert tagging.CommentDataModule(*parts[:2], paths[0], encoder=encoder).labels == LABELS
    with pytest.raises(ValueError, match="test is the same as valid"):
        tagging.CommentDataModule(*paths, paths[1], encoder=encoder)


def test_rows_of_files_are_predicted_in_the_order_of_the_files(parts, encoder, tmp_path):
    paths = [str(tmp_path / name) for name in ("one.csv", "two.parquet")]
    parts[2][:30].to_csv(paths[0], index=False)
    parts[2][30:70].to_parquet(paths[1])
    options = {"encoder": encoder, "max_length": 24, "cache": tmp_path / "c", "batch_size": 16}
    data = tagging.CommentDataModule(paths[:1], paths[:1], paths, **options)
    data.setup()
    in_memory = loaders.tokenize(parts[2]["comment_text"][:70], text.load_tokenizer(encoder), max_length=24)
    batches = list(data.predict_dataloader())
    assert [row for batch in batches for row in batch.rows.tolist()] == list(range(70))
    masked = [ids[mask.bool()].tolist() for inputs, _ in batches for ids, mask in zip(*inputs.values(), strict=True)]
    assert [token for ids in masked for token in ids] == in_memory.ids.tolist()
    assert np.array_equal(torch.cat([labels for _, labels in batches]), parts[2][LABELS][:70])
    module = fresh(encoder).eval()
    expected = loops.predict_proba(module, loaders.token_loader(in_memory))
    np.testing.assert_allclose(loops.predict_proba(module, data.test_dataloader()), expected, atol=1e-6)


def test_a_run_over_files_is_resumed_in_the_middle_of_an_epoch(parts, encoder, tmp_path):
    paths = [tmp_path / "train.csv", tmp_path / "valid.csv"]
    for part, path in zip(parts, paths, strict=False):
        part.to_csv(path, index=False)
    options = {"encoder": encoder, "max_length": 24, "cache": tmp_path / "c"}

    def run(name, **more):
        saving = pl.callbacks.ModelCheckpoint(dirpath=tmp_path / name, save_last=True, every_n_train_steps=2)
        data = tagging.CommentDataModule(str(paths[0]), str(paths[1]), **options)
        ckpt = more.pop("ckpt_path", None)
        stop = more.pop("stop", None)

        class Stop(pl.Callback):
            def on_train_batch_start(self, trainer, *rest):
                if trainer.global_step == stop:
                    raise RuntimeError("the power failed")

        module = fresh(encoder)
        with tagging.quiet():
            trainer = pl.Trainer(
                **PLAIN | {"max_epochs": 2, "callbacks": [saving, Stop()], "enable_checkpointing": True}
            )
            torch.manual_seed(2)
            trainer.fit(module, datamodule=data, ckpt_path=ckpt)
        return module

    whole = run("whole")
    with pytest.raises(RuntimeError, match="power failed"):
        run("broken", stop=13)
    again = run("broken", ckpt_path=tmp_path / "broken" / "last.ckpt")
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


def interrupted(parts, encoder, folder, **options):
    """A run that is stopped in the middle of its second epoch, and its last checkpoint."""
    saving = pl.callbacks.ModelCheckpoint(folder, "last", every_n_train_steps=1)

    class Stop(pl.Callback):
        def on_train_batch_start(self, trainer, *rest):
            if trainer.global_step == 14:
                raise RuntimeError("the power failed")

    with pytest.raises(RuntimeError, match="power failed"):
        train(fresh(encoder), data_of(parts, encoder), callbacks=[saving, Stop()], enable_checkpointing=True, **options)
    return folder / "last.ckpt"


class Batches(pl.Callback):
    """How many batches each epoch has, and the last epoch's train loss."""

    def __init__(self):
        self.epochs = []

    def on_train_batch_start(self, trainer, *rest):
        self.epochs.append(trainer.current_epoch)


def test_a_run_taken_up_has_the_sums_of_the_undisturbed_one(parts, encoder, tmp_path):
    whole = train(fresh(encoder), data_of(parts, encoder))
    path, count = interrupted(parts, encoder, tmp_path), Batches()
    with tagging.quiet():
        again = pl.Trainer(**PLAIN | {"max_epochs": 2, "callbacks": [count]})
        again.fit(fresh(encoder), datamodule=data_of(parts, encoder), ckpt_path=path)
    assert count.epochs == [1] * 6
    for name in ("train_loss", "valid_loss", "valid_auc"):
        assert float(again.callback_metrics[name]) == pytest.approx(float(whole.callback_metrics[name]), abs=1e-6), name


def test_weights_of_a_checkpoint_begin_another_run_from_its_first_row(parts, encoder, tmp_path):
    path, weights = interrupted(parts, encoder, tmp_path), []
    for seed in (3, 4):
        count, module = Batches(), tagging.CommentTagger.load_from_checkpoint(path)
        train(module, data_of(parts, encoder), seed=seed, callbacks=[count])
        assert count.epochs == [0] * 10 + [1] * 10
        weights.append(module.model.head.weight.detach())
    assert not torch.equal(*weights)


@pytest.fixture(scope="module")
def halfway(parts, encoder, tmp_path_factory):
    return interrupted(parts, encoder, tmp_path_factory.mktemp("halfway"))


def one_cell(table, column, value):
    changed = table.copy()
    changed.iloc[7, changed.columns.get_loc(column)] = value
    return changed


def frozen(module):
    module.model.freeze()
    return module


OTHER_RUNS = {
    "label": ("training labels", {"train": lambda table: one_cell(table, "insult", 1 - table["insult"].iloc[7])}, {}),
    "text": ("training tokens", {"train": lambda table: one_cell(table, "comment_text", "another one")}, {}),
    "order": ("training tokens", {"train": lambda table: table[::-1]}, {}),
    "valid": ("validation labels", {"valid": lambda table: one_cell(table, "toxic", 1 - table["toxic"].iloc[7])}, {}),
    "batch_size": ("batch size was 32 and is 16", {"batch_size": 16}, {}),
    "seed": ("seed was 0 and is 3", {"seed": 3}, {}),
    "max_length": ("training tokens", {"max_length": 12}, {}),
    "lr": ("learning rate was 0.001 and is 0.002", {}, {"lr": 2e-3}),
    "loss": ("loss was .*bce and is .*focal", {}, {"loss": "focal"}),
    "weight_decay": ("weight decay was 0.0, 0.01", {}, {"weight_decay": 0.0}),
    "layer_decay": ("learning rate was 0.001 and is 0.001, ", {}, {"layer_decay": 0.5}),
    "warmup": ("warmup_steps was 2 and is 10", {}, {"warmup": 0.5}),
    "dropout": ("dropout p was 0.1 and is 0.3", {}, {"dropout": 0.3}),
    "pooling": ("model pooling was mean and is cls", {}, {"pooling": "cls"}),
}
OTHER_TRAINERS = {
    "accumulate": ("accumulate grad batches was 1 and is 2", {"accumulate_grad_batches": 2}),
    "clip": ("gradient clip val was None and is 0.5", {"gradient_clip_val": 0.5}),
    "precision": ("precision was 32-true and is bf16-mixed", {"precision": "bf16-mixed"}),
    "longer": ("max_epochs was 2 and is 3.*ends at 0.*begin a new run", {"max_epochs": 3}),
    "shorter": ("max_epochs was 2 and is 1", {"max_epochs": 1}),
}


def resume(module, data, path, **options):
    with tagging.quiet():
        trainer = pl.Trainer(**PLAIN | {"max_epochs": 2} | options)
        trainer.fit(module, datamodule=data, ckpt_path=path)
    return trainer


@pytest.mark.parametrize("name", OTHER_RUNS)
def test_a_run_is_not_resumed_with_other_data_or_settings(name, parts, encoder, halfway):
    message, data, model = OTHER_RUNS[name]
    train_rows, valid = (
        data.pop("train", lambda table: table)(parts[0]),
        data.pop("valid", lambda table: table)(parts[1]),
    )
    options = {"encoder": encoder, "max_length": 24, "batch_size": 32} | data
    module = fresh(encoder, **model) if "lr" not in model else tagging.CommentTagger(LABELS, encoder=encoder, **model)
    before = halfway.read_bytes()
    with pytest.raises(loops.CheckpointError, match=message):
        resume(module, tagging.CommentDataModule(train_rows, valid, **options), halfway)
    assert halfway.read_bytes() == before


@pytest.mark.parametrize("name", OTHER_TRAINERS)
def test_a_run_is_not_resumed_by_another_trainer(name, parts, encoder, halfway):
    message, options = OTHER_TRAINERS[name]
    with pytest.raises(loops.CheckpointError, match=message):
        resume(fresh(encoder), data_of(parts, encoder), halfway, **options)
    with pytest.raises(loops.CheckpointError, match=r"parameter encoder.*trained and is .*frozen"):
        resume(frozen(fresh(encoder)), data_of(parts, encoder), halfway)


def test_a_checkpoint_that_does_not_know_its_run_is_not_resumed(parts, encoder, halfway, tmp_path):
    state = torch.load(halfway, weights_only=True)
    del state["resume"]["run"]
    torch.save(state, tmp_path / "old.ckpt")
    with pytest.raises(loops.CheckpointError, match=r"old.ckpt does not say which run it is of.*Begin a new run"):
        resume(fresh(encoder), data_of(parts, encoder), tmp_path / "old.ckpt")


def test_a_checkpoint_after_a_test_still_knows_its_run(parts, encoder, tmp_path):
    module, data = fresh(encoder), data_of(parts, encoder)
    trainer = train(module, data, max_epochs=1)
    with tagging.quiet():
        trainer.test(module, data, verbose=False)
    trainer.save_checkpoint(tmp_path / "tested.ckpt")
    resumed = resume(fresh(encoder), data, tmp_path / "tested.ckpt", max_epochs=1)
    assert resumed.global_step == trainer.global_step


class Batched(list):
    batch_size = 32


class Counting(torch.utils.data.DataLoader):
    """A loader that asks for its epoch."""

    def set_epoch(self, epoch):
        self.__dict__.setdefault("epochs", []).append(epoch)


def test_a_loader_that_asks_for_its_epoch_is_told(parts, encoder):
    data = data_of(parts, encoder)
    data.setup()
    batches = Batched(data.train_dataloader())
    loader = Counting(batches, batch_size=None, collate_fn=lambda batch: batch)
    with tagging.quiet():
        pl.Trainer(**PLAIN | {"max_epochs": 2}).fit(fresh(encoder), loader)
    assert loader.epochs == [0, 1]


def test_a_run_is_resumed_by_a_tagger_that_was_opened_from_its_checkpoint(parts, encoder, halfway):
    whole = fresh(encoder)
    train(whole, data_of(parts, encoder))
    again = tagging.CommentTagger.load_from_checkpoint(halfway)
    resume(again, data_of(parts, encoder), halfway)
    for one, other in zip(whole.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)


class NoSchedule(tagging.CommentTagger):
    def configure_optimizers(self):
        return torch.optim.AdamW(models.parameter_groups(self.model, lr=self.lr))


def test_a_run_whose_rate_does_not_end_at_0_may_grow(parts, encoder, tmp_path):
    saving = pl.callbacks.ModelCheckpoint(tmp_path, "last")
    whole, grown = (NoSchedule(LABELS, encoder=encoder, lr=1e-3) for _ in range(2))
    grown.load_state_dict(whole.state_dict())
    train(whole, data_of(parts, encoder))
    train(grown, data_of(parts, encoder), max_epochs=1, callbacks=[saving], enable_checkpointing=True)
    resume(grown, data_of(parts, encoder), tmp_path / "last.ckpt")
    for one, other in zip(whole.parameters(), grown.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_finished_run_says_so_and_trains_nothing(parts, encoder, tmp_path, capsys):
    saving = pl.callbacks.ModelCheckpoint(tmp_path, "last")
    stop = {"monitor": "valid_loss", "patience": 1, "min_delta": 10.0}
    options = {"enable_checkpointing": True, "max_epochs": 4}
    module = fresh(encoder)
    callbacks = [saving, pl.callbacks.EarlyStopping(**stop)]
    trainer = train(module, data_of(parts, encoder), callbacks=callbacks, **options)
    assert trainer.current_epoch == 2  # stopped early
    capsys.readouterr()
    again, count = fresh(encoder), Batches()
    callbacks = [count, pl.callbacks.EarlyStopping(**stop)]
    resume(again, data_of(parts, encoder), tmp_path / "last.ckpt", callbacks=callbacks, max_epochs=4)
    (line,) = capsys.readouterr().out.splitlines()
    assert line.endswith("last.ckpt: this run is finished after 2 epochs; read back, nothing was trained")
    assert not count.epochs
    assert torch.equal(again.model.head.weight, module.model.head.weight)
    patient = [pl.callbacks.EarlyStopping(**stop | {"patience": 3})]
    with pytest.raises(loops.CheckpointError, match="patience for valid loss was 1 and is 3"):
        resume(fresh(encoder), data_of(parts, encoder), tmp_path / "last.ckpt", callbacks=patient, max_epochs=4)


def test_a_run_with_fewer_batches_an_epoch_is_resumed_at_an_epochs_end(parts, encoder, tmp_path):
    class Stop(pl.Callback):
        def on_train_epoch_start(self, trainer, *rest):
            if trainer.current_epoch == 1:
                raise RuntimeError("the power failed")

    options = {"limit_train_batches": 6, "enable_checkpointing": True}
    saving = pl.callbacks.ModelCheckpoint(tmp_path, "last", save_on_train_epoch_end=True)
    with pytest.raises(RuntimeError, match="power failed"):
        train(fresh(encoder), data_of(parts, encoder), callbacks=[saving, Stop()], **options)
    count = Batches()
    options |= {"callbacks": [count], "default_root_dir": tmp_path}
    resume(fresh(encoder), data_of(parts, encoder), tmp_path / "last.ckpt", **options)
    assert count.epochs == [1] * 6


def test_labels_in_another_order_are_refused(parts, encoder, finished):
    data = data_of(parts, encoder, labels=LABELS[::-1])
    with tagging.quiet(), pytest.raises(ValueError, match=r"the data have the labels .*name them in one order"):
        pl.Trainer(**PLAIN).validate(fresh(encoder), datamodule=data, verbose=False)
    turned = tagging.CommentTagger(LABELS[::-1], encoder=encoder)
    with tagging.quiet(), pytest.raises(ValueError, match="the checkpoint has the labels"):
        pl.Trainer(**PLAIN).test(turned, datamodule=data, ckpt_path=finished[0] / "kept" / "best.ckpt")


def test_a_process_without_rows_takes_part_with_gradients_of_zero(encoder):
    module = fresh(encoder).train()
    nothing = {"input_ids": torch.zeros(0, 1, dtype=torch.long), "attention_mask": torch.zeros(0, 1, dtype=torch.long)}
    logits = module(**nothing)
    assert logits.shape == (0, 6)
    module.loss(logits, torch.zeros(0, 6)).backward()
    trained = [weight for weight in module.model.parameters() if weight.requires_grad]
    assert all(weight.grad is not None and not weight.grad.any() for weight in trained)


def test_a_valid_loss_that_is_not_finite_is_not_hidden(parts, encoder):
    class Break(pl.Callback):
        def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, *rest):
            pl_module.model.head.bias.data.fill_(torch.nan if batch_idx == 1 else 0.0)

    with tagging.quiet():
        (scores,) = pl.Trainer(**PLAIN | {"callbacks": [Break()]}).validate(
            fresh(encoder), datamodule=data_of(parts, encoder), verbose=False
        )
    assert np.isnan(scores["valid_loss"])


def test_tables_are_checked_at_the_door(parts, encoder):
    def make(*tables, **options):
        return tagging.CommentDataModule(*tables, encoder=encoder, **options)

    with pytest.raises(datasets.DataError, match=r"valid: labels \['threat'\] are no columns"):
        make(parts[0], parts[1].drop(columns="threat"))
    with pytest.raises(datasets.DataError, match="valid: row 3: column toxic holds '7' where a label is 0 or 1"):
        spoilt = parts[1].reset_index(drop=True)
        spoilt.loc[2, "toxic"] = 7
        make(parts[0], spoilt)
    with pytest.raises(datasets.DataError, match="train: no text column 'message'"):
        make(*parts, text="message")
    renamed = [part.rename(columns={"comment_text": "message"}) for part in parts]
    data = make(*renamed, text="message")
    data.setup()
    assert len(next(iter(data.val_dataloader()))[1]) == 32
    with pytest.raises(ValueError, match="files are taken whole"):
        make("a.csv", "b.csv", negatives=5)
    with pytest.raises(ValueError, match="test is the same as valid"):
        make(parts[0], parts[1], parts[1])
    with pytest.raises(ValueError, match="test is the same as train"):
        make("a.csv", "b.csv", "a.csv")


def test_a_run_without_an_end_has_no_schedule(parts, encoder):
    with tagging.quiet(), pytest.raises(ValueError, match="set max_epochs or max_steps"):
        pl.Trainer(**PLAIN | {"max_epochs": -1, "max_time": "00:00:00:10"}).fit(
            fresh(encoder), datamodule=data_of(parts, encoder)
        )


NONE_LEFT = [("valid", share) for share in (0, 1, 1.5, -0.1, float("nan"), True, "1.5", "nan", np.float64(2))]
NO_COUNTS = [("batch_size", 0), ("batch_size", 2.5), ("batch_size", True), ("read_batch_size", -1), ("max_rows", 0)]
NO_COUNTS += [
    ("max_rows", float("nan")),
    ("negatives", -1),
    ("negatives", 10.5),
    ("max_length", 0),
    ("max_length", "64"),
]
NO_COUNTS += [("seed", -1), ("seed", 0.5)]


@pytest.mark.parametrize(("name", "value"), [*NONE_LEFT, ("test", 1.0), *NO_COUNTS])
def test_a_number_out_of_its_range_is_refused_by_name(name, value, parts):
    with pytest.raises(ValueError, match=f"{name}=.*expected a (whole )?number"):
        tagging.CommentDataModule(parts[0], **{"valid": parts[1]} | {name: value})


@pytest.mark.parametrize("share", ["0.25", np.float32(0.25), torch.tensor(0.25)])
def test_a_share_may_have_any_type_of_number(share, parts):
    data = tagging.CommentDataModule(parts[0], share)
    assert len(data.sources["valid"]) == pytest.approx(75, abs=2)


@pytest.mark.parametrize(
    ("name", "source"), [("train", None), ("valid", None), ("train", 0.3), ("valid", {}), ("valid", []), ("test", [1])]
)
def test_what_is_no_source_is_refused_with_what_would_be_one(name, source, parts):
    with pytest.raises(ValueError, match=f"{name}: expected a DataFrame, the path .* got"):
        tagging.CommentDataModule(**{"train": parts[0], "valid": parts[1]} | {name: source})


def as_type(kind, values):
    """Labels of 0 and 1, the third one unknown where the type can hold that."""
    unknown = [None if row == 2 else value for row, value in enumerate(values)]
    made = {
        "int64": lambda: pd.Series(values, dtype="int64"),
        "bool": lambda: pd.Series(values, dtype=bool),
        "float": lambda: pd.Series(unknown, dtype="float64"),
        "Int64": lambda: pd.Series(unknown, dtype="Int64"),
        "boolean": lambda: pd.Series([None if value is None else bool(value) for value in unknown], dtype="boolean"),
        "pyarrow": lambda: pd.Series(unknown, dtype="int8[pyarrow]"),
        "categories": lambda: pd.Series(pd.Categorical(unknown)),
        "objects": lambda: pd.Series(unknown, dtype=object),
        "minus one": lambda: pd.Series([-1 if value is None else value for value in unknown], dtype="int64"),
    }
    return made[kind]()


@pytest.mark.parametrize(
    "kind", ["int64", "bool", "float", "Int64", "boolean", "pyarrow", "categories", "objects", "minus one"]
)
def test_labels_of_any_type_are_those_that_were_named(kind, encoder):
    values = [int(row % 3 == 0) for row in range(60)]
    bodies = [f"message number {row} about {row * 7} goats" for row in range(60)]
    columns = {"year": 2026, "body": bodies, "rude": as_type(kind, values), "seen": np.int8(1)}
    frame = pd.DataFrame(columns)
    options = {"text": "body", "labels": ["rude"], "encoder": encoder, "max_length": 16, "negatives": 20}
    data = tagging.CommentDataModule(frame, valid=0.2, test=0.2, **options)
    data.setup()
    assert data.labels == ["rude"]
    found = torch.cat([labels for _, labels in data.predict_dataloader()])[:, 0]
    rows = [bodies.index(body) for body in data.sources["test"]["body"]]
    expected = [float("nan") if row == 2 and kind not in ("int64", "bool") else values[row] for row in rows]
    np.testing.assert_array_equal(found.numpy(), expected)
    assert pd.concat(list(data.sources.values()))["body"].is_unique


def test_names_are_carried_by_the_table_and_never_guessed(parts, encoder):
    frame = pd.DataFrame({"body": parts[0]["comment_text"], "rude": parts[0]["toxic"], "year": np.int8(1)})
    with pytest.raises(datasets.DataError, match=r"train: the table does not say which .* labels=.*as_comments"):
        tagging.CommentDataModule(frame, 0.2, text="body", encoder=encoder)
    mails = datasets.as_comments(frame, text="body", labels=["rude"])
    data = tagging.CommentDataModule(mails, 0.2, encoder=encoder, max_rows=200)
    assert (data.text, data.labels, data.sources["valid"].attrs["labels"]) == ("body", ["rude"], ["rude"])
    for labels in ("rude", [], ["polite"]):
        with pytest.raises(ValueError, match="labels"):
            tagging.CommentDataModule(mails, 0.2, labels=labels, encoder=encoder)
    numbered = pd.DataFrame({0: parts[0]["comment_text"], 1: parts[0]["toxic"]})
    assert tagging.CommentDataModule(numbered, 0.2, text=0, labels=[1], encoder=encoder).labels == ["1"]


def test_labels_that_are_all_unknown_are_refused(parts, encoder):
    unknown = parts[0].assign(**dict.fromkeys(LABELS, np.float32("nan")))
    for tables, name in [((unknown, parts[1]), "train"), ((parts[0], unknown), "valid")]:
        with pytest.raises(datasets.DataError, match=f"{name}: all labels are unknown in all 300 rows"):
            tagging.CommentDataModule(*tables, encoder=encoder)
    with pytest.warns(UserWarning, match="train: toxic, threat: unknown in all rows"):
        tagging.CommentDataModule(parts[0].assign(toxic=np.nan, threat=-1), parts[1], encoder=encoder)


def test_files_whose_labels_are_all_unknown_end_the_run(parts, encoder, tmp_path):
    parts[0].assign(**dict.fromkeys(LABELS, -1)).to_csv(tmp_path / "train.csv", index=False)
    parts[1].to_csv(tmp_path / "valid.csv", index=False)
    paths = [str(tmp_path / f"{name}.csv") for name in ("train", "valid")]
    data = tagging.CommentDataModule(*paths, encoder=encoder, max_length=24, cache=tmp_path / "cache")
    with pytest.raises(ValueError, match="no label of the training set is known"):
        train(fresh(encoder), data, max_epochs=1)


def test_a_length_beyond_the_encoders_positions_is_refused(encoder):
    with pytest.raises(ValueError, match="max_length=600: expected a whole number, from 1 to 512"):
        tagging.CommentTagger(LABELS, encoder=encoder, max_length=600)
