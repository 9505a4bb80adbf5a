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


LABELS = list(datasets.JIGSAW_LABELS)


def data_of(parts, encoder, **options):
    return tagging.CommentDataModule(*parts, encoder=encoder, max_tokens=24, batch_size=32, **options)


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
    tokens = loaders.tokenize(parts[0]["comment_text"], tokenizer, max_tokens=24)
    rows = loaders.token_loader(tokens, parts[0][LABELS], batch_size=32, shuffle=True)
    schedule = loops.linear_warmup(optimizer, steps=2 * -(-len(rows) // accumulate))
    options = {"loss": loss, "optimizer": optimizer, "schedule": schedule, "accumulate": accumulate}
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
        torch.testing.assert_close(one, other, atol=1e-6, rtol=0, msg=name)
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
    score = tagging.LabelAUROC(["a", "b", "c"])
    for start in range(0, len(targets), size):
        score.update(logits[start : start + size], targets[start : start + size])
    score.update(logits[:0], targets[:0])  # a process without rows
    expected = metrics.auc_by_label(targets, torch.sigmoid(logits))
    np.testing.assert_allclose(score.compute(), expected, atol=1e-6)
    assert score.compute()[2].isnan()


def test_one_label_has_an_auc_too():
    targets, logits = scored()
    score = tagging.LabelAUROC(["a"])
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
    data = tagging.CommentDataModule(*parts, encoder=encoder, max_tokens=24, batch_size=8)
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
        said = torch.cat(trainer.predict(module, datamodule=data)).numpy()
    assert scores["test_auc"] == pytest.approx(metrics.mean_auc(parts[2][LABELS], said), abs=1e-6)
    rows = loops.predict(module.model, data.test_dataloader())
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


def test_a_loss_that_is_not_finite_ends_the_run(parts, encoder):
    module = fresh(encoder)
    module.model.head.bias.data.fill_(torch.nan)
    with pytest.raises(loops.LossError, match="the loss is nan at epoch 1, batch 1"):
        train(module, data_of(parts, encoder), num_sanity_val_steps=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"labels": []}, "at least one"),
        ({"labels": ["a", "a"]}, "different names"),
        ({"labels": ["a"], "loss": "hinge"}, "loss='hinge'"),
        ({"labels": ["a"], "thresholds": {"a": 2}}, "not from 0 to 1"),
    ],
)
def test_a_tagger_that_cannot_be_is_refused(options, message, encoder):
    with pytest.raises(ValueError, match=message):
        tagging.CommentTagger(**{"encoder": encoder} | options)


def test_rows_are_split_balanced_and_limited(encoder):
    data = tagging.CommentDataModule("sample", 0.2, 0.3, encoder=encoder, clean=100, max_rows=1_000)
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


def test_rows_of_files_are_predicted_in_the_order_of_the_files(parts, encoder, tmp_path):
    paths = [str(tmp_path / name) for name in ("one.csv", "two.parquet")]
    parts[2][:30].to_csv(paths[0], index=False)
    parts[2][30:70].to_parquet(paths[1])
    options = {"encoder": encoder, "max_tokens": 24, "cache": tmp_path / "c", "batch_size": 16}
    data = tagging.CommentDataModule(paths[:1], paths[:1], paths, **options)
    data.setup()
    in_memory = loaders.tokenize(parts[2]["comment_text"][:70], text.load_tokenizer(encoder), max_tokens=24)
    batches = list(data.predict_dataloader())
    assert [row for batch in batches for row in batch.rows.tolist()] == list(range(70))
    masked = [ids[mask.bool()].tolist() for inputs, _ in batches for ids, mask in zip(*inputs.values(), strict=True)]
    assert [token for ids in masked for token in ids] == in_memory.ids.tolist()
    assert np.array_equal(torch.cat([labels for _, labels in batches]), parts[2][LABELS][:70])
    module = fresh(encoder).eval()
    expected = loops.predict(module, loaders.token_loader(in_memory))
    np.testing.assert_allclose(loops.predict(module, data.test_dataloader()), expected, atol=1e-6)


def test_a_run_over_files_is_resumed_in_the_middle_of_an_epoch(parts, encoder, tmp_path):
    paths = [tmp_path / "train.csv", tmp_path / "valid.csv"]
    for part, path in zip(parts, paths, strict=False):
        part.to_csv(path, index=False)
    options = {"encoder": encoder, "max_tokens": 24, "cache": tmp_path / "c"}

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


def test_a_run_is_not_taken_up_with_other_batches(parts, encoder, tmp_path):
    path = interrupted(parts, encoder, tmp_path)
    other = tagging.CommentDataModule(*parts, encoder=encoder, max_tokens=24, batch_size=16)
    with tagging.quiet(), pytest.raises(ValueError, match="batch_size was 32 and is 16"):
        pl.Trainer(**PLAIN | {"max_epochs": 2}).fit(fresh(encoder), datamodule=other, ckpt_path=path)


def test_a_run_with_fewer_batches_an_epoch_is_taken_up_at_an_epochs_end(parts, encoder, tmp_path):
    options = {"limit_train_batches": 6, "enable_checkpointing": True}
    saving = pl.callbacks.ModelCheckpoint(tmp_path, "last", save_on_train_epoch_end=True)
    train(fresh(encoder), data_of(parts, encoder), callbacks=[saving], max_epochs=1, **options)
    count = Batches()
    with tagging.quiet():
        again = pl.Trainer(**PLAIN | options | {"max_epochs": 2, "callbacks": [count], "default_root_dir": tmp_path})
        again.fit(fresh(encoder), datamodule=data_of(parts, encoder), ckpt_path=tmp_path / "last.ckpt")
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

    with pytest.raises(datasets.DataError, match="valid: no column threat"):
        make(parts[0], parts[1].drop(columns="threat"))
    with pytest.raises(datasets.DataError, match="valid: row 3: label toxic is 7"):
        spoilt = parts[1].reset_index(drop=True)
        spoilt.loc[2, "toxic"] = 7
        make(parts[0], spoilt)
    with pytest.raises(datasets.DataError, match="train: no column message"):
        make(*parts, text="message")
    renamed = [part.rename(columns={"comment_text": "message"}) for part in parts]
    data = make(*renamed, text="message")
    data.setup()
    assert len(next(iter(data.val_dataloader()))[1]) == 32
    with pytest.raises(ValueError, match="files are taken whole"):
        make("a.csv", "b.csv", clean=5)
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
NO_COUNTS += [("max_rows", float("nan")), ("clean", -1), ("clean", 10.5), ("max_tokens", 0), ("max_tokens", "64")]
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
