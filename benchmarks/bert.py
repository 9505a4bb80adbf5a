"""What the loop around BERT costs and saves, on real comments with the packaged encoder.

    python benchmarks/bert.py --data FOLDER [--only bert.tokenize ...]

Times are taken side by side in one process, on idle cores: one warm-up each, then by turns, and the medians are
compared. Comments are drawn at random from Jigsaw's train.csv, but for the last figure.

- `bert.tokenize`: comments a second of `loaders.tokenize` over those of the same tokenizer called row by row with
  padding to 128, as the tutorial does (which reports 335 a second); `row_by_row_unpadded` makes lists of ids as ours.
- `bert.bucket_vs_128`, `bert.bucket_vs_512`: training examples a second of `loops.fit` over length buckets, texts cut
  at that limit, over those of the same loop and rows all padded to the limit.
- `bert.flops_of_peak`: floating point operations a second of a bucketed epoch over those of float32 matrix products,
  the best of several sizes, in the same run. Counted are the encoder's own on the tokens that are no padding: three
  times (forward, and backward twice) 2 x parameters of the layers x tokens, and attention's 4 x layers x width x
  tokens x length; embeddings, norms, softmax and the optimizer count as nothing.
- `bert.loop_vs_trainer`: examples a second of `loops.fit` over those of Hugging Face's `Trainer`, same encoder,
  batches, optimizer, schedule and clipping, 20 steps each. Beside it stands `over_published_encoder`, where Trainer has
  the same weights as transformers loads them, with dropout in attention. In a run before that, without dropout and with
  warm-up and decay within them, the losses of the 20 steps must be equal to 1e-4.
- `bert.dropout`: forward and backward of torch's dropout over those of `FastDropout`, on the hidden states of a
  batch of 32 texts of 64 tokens.
- `bert.predict_vs_one_row`: prediction of the 5,000 test rows of bag_of_words.py cut at 512 tokens in length buckets
  over one row at a time padded to 512, as the Lightning tutorial evaluates (timed on rows drawn from them); logits that
  differ by more than 1e-4 are an error.
"""

import statistics
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import torch
from _record import record, run_figures
from bag_of_words import protocol_rows
from mlp import times_by_turns
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, SequentialSampler

from helpers import config, datasets, loaders, loops, losses, models, text
from helpers.loaders.row_order import EpochBatchSampler
from helpers.loaders.tokens import TokenRows, Tokens
from helpers.models.encoders import FastDropout

COMMAND = "python benchmarks/bert.py --data FOLDER"
LABELS = list(datasets.loading.JIGSAW_LABELS)
BATCH, LR, SAME_STEPS = 32, 1e-4, 20
TRAINER_BATCH = 16
SMALL_BATCH = 8  # whose activations stay in a processor's cache
Call = Callable[[], object]


def some_comments(rows: int, *, seed: int = 0) -> pd.DataFrame:
    """Comments drawn at random."""
    return datasets.subsample(datasets.load_comments("jigsaw"), rows, seed=seed)


def tagger(*, with_dropout: bool = True, as_published: bool = False) -> models.BertTagger:
    """A fresh tagger over the packaged encoder, made ready by the course or as transformers loads it."""
    from transformers import AutoModel

    if as_published:
        encoder = AutoModel.from_pretrained(config.packaged_encoder(), trust_remote_code=False)
    else:
        encoder = models.load_encoder().model
    torch.manual_seed(0)
    model = models.BertTagger(encoder, len(LABELS))
    for part in model.modules():
        if isinstance(part, nn.Dropout) and not with_dropout:
            part.p = 0.0
    return model


def run_of(model: models.BertTagger, loader: DataLoader, *, steps: int | None = None) -> dict[str, Any]:
    """The course's settings, as arguments for `loops.fit` (all but `epochs`); the schedule ends after some steps."""
    optimizer = torch.optim.AdamW(models.parameter_groups(model, lr=LR), fused=True)
    schedule = loops.linear_warmup(optimizer, steps=steps or 100 * len(loader))
    parts = {"model": model, "train": loader, "loss": losses.bce, "optimizer": optimizer, "scheduler": schedule}
    return parts | {"clip_norm": 1.0, "progress": False}


class Padded(TokenRows):
    """The same rows, all padded to one length."""

    def __init__(self, tokens: Tokens, labels: np.ndarray, length: int) -> None:
        super().__init__(tokens, labels)
        self.length = length

    def __getitems__(self, rows: np.ndarray) -> loaders.Batch:
        inputs, labels = super().__getitems__(rows)
        missing = self.length - inputs["input_ids"].shape[1]
        return {name: nn.functional.pad(part, (0, missing)) for name, part in inputs.items()}, labels


def padded_loader(tokens: Tokens, labels: np.ndarray, length: int, batch_size: int) -> DataLoader:
    """Batches in the same shuffled order for all lengths."""
    order = EpochBatchSampler(len(labels), batch_size, shuffle=True)
    return DataLoader(Padded(tokens, labels, length), batch_sampler=order, collate_fn=lambda batch: batch)


def speeds_by_turns(ways: dict[str, tuple[Call, int]], rounds: int) -> dict[str, float]:
    """Rows a second of each way, which is a call and the rows that it takes, timed by turns."""
    times = times_by_turns({name: call for name, (call, _) in ways.items()}, rounds)
    return {name: rows / statistics.median(times[name]) for name, (_, rows) in ways.items()}


def record_ratio(
    name: str, ways: dict[str, tuple[Call, int]], rounds: int, *, asked: str, data: str, **details: float
) -> None:
    """Record how many times as many rows a second the last way takes as the first, and the rows a second of each."""
    speed = speeds_by_turns(ways, rounds)
    first, last = next(iter(speed)), list(speed)[-1]
    parts = {f"{way}_rows_per_s": round(value, 1) for way, value in speed.items()} | details
    record(name, speed[last] / speed[first], unit="x", asked=asked, data=data, command=COMMAND, **parts)


def record_tokenize(rounds: int) -> None:
    """Batches against rows."""
    tokenizer, comments = text.load_tokenizer(), some_comments(2_000)["comment_text"].tolist()
    row = {"max_length": 128, "padding": "max_length", "truncation": True, "return_attention_mask": True}
    ways: dict[str, Call] = {
        "row_by_row": lambda: [tokenizer(comment, return_tensors="pt", **row) for comment in comments],
        "row_by_row_unpadded": lambda: [tokenizer(comment, max_length=128, truncation=True) for comment in comments],
        "batches": lambda: loaders.tokenize(comments, tokenizer, max_length=128),
    }
    data, counted = "2,000 real Jigsaw comments", {name: (call, len(comments)) for name, call in ways.items()}
    record_ratio("bert.tokenize", counted, rounds, asked=">= 3.3 x", data=data, tutorial_rows_per_s=335)


def record_buckets(limit: int, rows: int, padded_rows: int, asked: str, rounds: int) -> None:
    """One epoch over buckets against one with everything padded to the limit, which fewer rows suffice to time."""
    comments = some_comments(rows)
    tokens = loaders.tokenize(comments["comment_text"], text.load_tokenizer(), max_length=limit)
    fewer = loaders.tokenize(comments["comment_text"].head(padded_rows), text.load_tokenizer(), max_length=limit)
    labels = comments[LABELS].to_numpy()
    batches = {
        "padded": padded_loader(fewer, labels[:padded_rows], limit, BATCH),
        "buckets": loaders.token_loader(tokens, labels, batch_size=BATCH, shuffle=True),
    }
    ways = {name: (_one_epoch(run_of(tagger(), loader)), len(loader.dataset)) for name, loader in batches.items()}
    data = f"{rows:,} real Jigsaw comments ({padded_rows} of them padded), at most {limit} tokens, batch {BATCH}"
    details = {"mean_tokens": round(float(tokens.lengths.mean()), 1)}
    data += ", packaged encoder, float32"
    record_ratio(f"bert.bucket_vs_{limit}", ways, rounds, asked=asked, data=data, **details)


def _one_epoch(run: dict[str, Any]) -> Call:
    return lambda: loops.fit(**run, epochs=1)


def matmul_peak() -> float:
    """Floating point operations a second of the best of several float32 matrix products."""
    best = 0.0
    for size in (1024, 1536, 2048, 3072):
        a, b = torch.randn(size, size), torch.randn(size, size)
        times = times_by_turns({"product": lambda a=a, b=b: a @ b}, 7)["product"]
        best = max(best, 2 * size**3 / min(times))
    return best


def useful_flops(tokens: Tokens, encoder: nn.Module) -> float:
    """Operations of forward and backward over all tokens, as the module's docstring counts them."""
    settings = encoder.config
    weights = sum(weight.numel() for name, weight in encoder.encoder.named_parameters() if weight.ndim == 2)
    lengths = tokens.lengths.astype(float)
    attention = 4 * settings.num_hidden_layers * settings.hidden_size * (lengths**2).sum()
    return 3 * (2 * weights * lengths.sum() + attention)


def record_flops(rows: int, rounds: int) -> None:
    """A bucketed epoch against the matrix products of the same machine."""
    comments = some_comments(rows)
    tokens = loaders.tokenize(comments["comment_text"], text.load_tokenizer(), max_length=128)
    loader = loaders.token_loader(tokens, comments[LABELS].to_numpy(), batch_size=BATCH, shuffle=True)
    run = run_of(tagger(), loader)
    peaks = [matmul_peak()]
    seconds = statistics.median(times_by_turns({"epoch": _one_epoch(run)}, rounds)["epoch"])
    peaks.append(matmul_peak())
    achieved = useful_flops(tokens, run["model"].encoder) / seconds
    parts = {"gflops": round(achieved / 1e9, 1), "peak_gflops": round(max(peaks) / 1e9, 1)}
    data = f"{rows:,} real Jigsaw comments, at most 128 tokens, batch {BATCH}, packaged encoder, float32"
    record("bert.flops_of_peak", achieved / max(peaks), unit="", asked=">= 0.55", data=data, command=COMMAND, **parts)


class AsExamples(Dataset):
    """The batches of a loader as examples for Trainer, each a batch already."""

    def __init__(self, loader: DataLoader) -> None:
        self.batches = [{**inputs, "labels": labels} for inputs, labels in loader]

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, place: int) -> dict[str, Tensor]:
        return self.batches[place]


class ForTrainer(nn.Module):
    """A tagger that gives its loss with its logits, as Trainer wants it."""

    accepts_loss_kwargs = False

    def __init__(self, model: models.BertTagger) -> None:
        super().__init__()
        self.tagger, self.losses = model, []

    def forward(self, labels: Tensor, **inputs: Tensor) -> dict[str, Tensor]:
        """Loss and logits."""
        logits = self.tagger(**inputs)
        loss = losses.bce(logits, labels)
        self.losses.append(loss.detach())
        return {"loss": loss, "logits": logits}


class Stored(Dataset):
    """Batches that were made before."""

    def __init__(self, batches: list[loaders.Batch]) -> None:
        self.batches = batches

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, place: int) -> loaders.Batch:
        return self.batches[place]


def trainer_training(
    loader: DataLoader, folder: str, *, steps: int | None = None, **options: bool
) -> tuple[Call, list[Tensor]]:
    """One epoch of Hugging Face's Trainer over the loader's batches in their order, and the list of its losses.

    Args:
        loader: gives the batches.
        folder: for what Trainer writes.
        steps: after which the schedule ends.
        options: of `tagger`.
    """
    from transformers import Trainer, TrainingArguments
    from transformers.trainer_callback import PrinterCallback

    class InOrder(Trainer):
        def _get_train_sampler(self, *rest: Any) -> SequentialSampler:  # noqa: ANN401
            return SequentialSampler(self.train_dataset)

    rows, model = AsExamples(loader), ForTrainer(tagger(**options))
    optimizer = torch.optim.AdamW(models.parameter_groups(model.tagger, lr=LR), fused=True)
    schedule = loops.linear_warmup(optimizer, steps=steps or 100 * len(rows))
    arguments = {"output_dir": folder, "per_device_train_batch_size": 1, "num_train_epochs": 1, "max_grad_norm": 1.0}
    arguments |= {"logging_strategy": "no", "save_strategy": "no", "report_to": [], "disable_tqdm": True}
    arguments |= {"remove_unused_columns": False}
    trainer = InOrder(
        model=model,
        args=TrainingArguments(**arguments, use_cpu=True, dataloader_pin_memory=False),
        train_dataset=rows,
        data_collator=lambda found: found[0],
        optimizers=(optimizer, schedule),
    )
    trainer.remove_callback(PrinterCallback)
    return trainer.train, model.losses


def losses_of_the_loop(stored: DataLoader) -> list[Tensor]:
    """The losses of one epoch of our loop, without dropout."""
    run, values = run_of(tagger(with_dropout=False), stored, steps=len(stored)), []
    loss = run["loss"]

    def noted(logits: Tensor, targets: Tensor) -> Tensor:
        value = loss(logits, targets)
        values.append(value.detach())
        return value

    run["loss"] = noted
    loops.fit(**run, epochs=1)
    return values


def record_trainer(rounds: int) -> None:
    """Our loop against Trainer over the same stored batches."""
    rows = SAME_STEPS * TRAINER_BATCH
    comments = some_comments(rows)
    tokens = loaders.tokenize(comments["comment_text"], text.load_tokenizer(), max_length=128)
    loader = loaders.token_loader(tokens, comments[LABELS].to_numpy(), batch_size=TRAINER_BATCH, shuffle=True)
    stored = loader = DataLoader(Stored(list(loader)), batch_size=None)
    with tempfile.TemporaryDirectory() as folder:
        train, theirs = trainer_training(loader, folder, with_dropout=False, steps=len(loader))
        train()
        ours = losses_of_the_loop(stored)
        apart = max(abs(float(one) - float(other)) for one, other in zip(theirs, ours, strict=True))
        if apart > 1e-4 or len(ours) < SAME_STEPS:
            sys.exit(f"bert.loop_vs_trainer is not recorded: losses differ by {apart:.1e} within {len(ours)} steps")
        ways = {
            "trainer": (trainer_training(loader, folder)[0], rows),
            "trainer_published_encoder": (trainer_training(loader, folder, as_published=True)[0], rows),
            "loop": (_one_epoch(run_of(tagger(), stored)), rows),
        }
        speed = speeds_by_turns(ways, rounds)
    data = f"{rows:,} real Jigsaw comments, at most 128 tokens, the same stored batches of {TRAINER_BATCH}"
    details = {f"{name}_rows_per_s": round(value, 1) for name, value in speed.items()}
    details |= {"over_published_encoder": round(speed["loop"] / speed["trainer_published_encoder"], 3)}
    details |= {"largest_loss_difference": apart}
    asked = ">= 1.05 x, and equal losses for the first 20 steps"
    ratio = speed["loop"] / speed["trainer"]
    record("bert.loop_vs_trainer", ratio, unit="x", asked=asked, data=data, command=COMMAND, **details)


def record_dropout(rounds: int) -> None:
    """Torch's dropout against ours."""
    values, gradient = (torch.randn(BATCH, 64, 384, requires_grad=index == 0) for index in range(2))
    layers = {"torch": nn.Dropout(0.1), "fast": FastDropout(0.1)}
    ways = {
        name: lambda layer=layer: [torch.autograd.grad(layer(values), values, gradient) for _ in range(20)]
        for name, layer in layers.items()
    }
    parts = {name: 1000 * statistics.median(times) / 20 for name, times in times_by_turns(ways, rounds).items()}
    details = {f"{name}_ms": round(value, 2) for name, value in parts.items()}
    data, ratio = f"hidden states ({BATCH}, 64, 384), p 0.1, float32", parts["torch"] / parts["fast"]
    record("bert.dropout", ratio, unit="x", asked="", data=data, command=COMMAND, **details)


def record_predict(one_by_one: int, rounds: int) -> None:
    """Buckets over the test rows against single rows padded to 512, which fewer rows suffice to time."""
    comments = protocol_rows().query("role == 'test'")
    tokens = loaders.tokenize(comments["comment_text"], text.load_tokenizer(), max_length=512)
    labels, model = comments[LABELS].to_numpy(), tagger().eval()
    nn.init.normal_(model.head.weight, std=1.0)  # logits as far apart as those of a trained head
    single = Padded(tokens, labels, 512)
    bucketed = loaders.token_loader(tokens, labels, batch_size=SMALL_BATCH)
    drawn = np.random.default_rng(0).choice(len(comments), one_by_one, replace=False)

    @torch.inference_mode()
    def alone() -> None:
        probabilities["one_row"] = torch.cat([model(**single[row][0]) for row in drawn]).numpy()

    def buckets() -> None:
        probabilities["buckets"] = loops.logits(model, bucketed)[drawn]

    probabilities: dict[str, np.ndarray] = {}
    speed = speeds_by_turns({"one_row": (alone, one_by_one), "buckets": (buckets, len(comments))}, rounds)
    apart = np.abs(probabilities["buckets"] - probabilities["one_row"]).max()
    if apart > 1e-4:
        sys.exit(f"bert.predict_vs_one_row is not recorded: logits differ by {apart:.1e}")
    data = f"the {len(comments):,} test rows of Jigsaw ({one_by_one} of them row by row), at most 512 tokens, "
    data += f"batches of {SMALL_BATCH}, packaged encoder, float32"
    parts = {f"{name}_rows_per_s": round(value, 1) for name, value in speed.items()} | {"logits_apart": float(apart)}
    ratio = speed["buckets"] / speed["one_row"]
    record("bert.predict_vs_one_row", ratio, unit="x", asked=">= 6 x", data=data, command=COMMAND, **parts)


def main() -> None:
    """Measure and record."""
    figures: dict[str, Callable[[], None]] = {
        "bert.tokenize": lambda: record_tokenize(5),
        "bert.bucket_vs_128": lambda: record_buckets(128, 2_500, 480, ">= 2 x", 3),
        "bert.bucket_vs_512": lambda: record_buckets(512, 640, 64, ">= 5 x", 2),
        "bert.flops_of_peak": lambda: record_flops(480, 3),
        "bert.loop_vs_trainer": lambda: record_trainer(3),
        "bert.dropout": lambda: record_dropout(9),
        "bert.predict_vs_one_row": lambda: record_predict(100, 1),
    }
    run_figures(figures, __doc__)


if __name__ == "__main__":
    main()
