"""Lightning against the loop, two processes against one, and data on disk, on real comments.

    python benchmarks/scale.py --data FOLDER [--only ddp.scaling ...]

Times are taken side by side in one run, on idle cores.

- `lightning.vs_loop`: training examples a second of `Trainer.fit` on `tagging.CommentTagger` over those of `loops.fit`,
  same encoder, batches, optimizer, schedule and clipping; whole calls, set-up included, by turns.
- `lightning.evaluate`: `Trainer.validate` on the 5,000 valid rows of bag_of_words.py cut at 512 tokens, loss and AUC
  included, over one row at a time padded to 512, as the Lightning tutorial evaluates (timed on rows drawn from them).
- `ddp.scaling`: examples a second of two processes with one thread each over one process with one thread, same batches
  of 32, `scripts/train.py`; the first eight steps are left out.
- `data.token_cache`: seconds from the comments' file to the first batch, tokenizing, over those from the token ids kept
  on disk. `data.ten_million`: peak resident memory of a process that tokenizes the real rows, repeated to ten million,
  and trains a linear model on all of them in shuffled length buckets, and of one that does so from the cache.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pytorch_lightning as pl
import torch
import yaml
from _record import FOLDER, record, run_figures
from bag_of_words import protocol_rows
from bert import LABELS, Padded, run_of, some_comments, tagger
from mlp import times_by_turns

from helpers import loaders, loops, tagging, text

COMMAND = "python benchmarks/scale.py --data FOLDER"
BATCH, TEN_MILLION = 32, 10_000_000
PLAIN = {"accelerator": "cpu", "logger": False, "enable_checkpointing": False, "enable_model_summary": False}
PLAIN |= {"enable_progress_bar": False, "use_distributed_sampler": False}


def record_loop(rows: int, rounds: int) -> None:
    """Trainer.fit against loops.fit."""
    comments = some_comments(rows)
    module = tagging.CommentTagger(LABELS, lr=1e-4)
    data = tagging.CommentDataModule(comments, comments.head(1), batch_size=BATCH)
    data.setup()
    run = run_of(tagger(), data.train_dataloader())

    def lightning() -> None:
        with tagging.quiet():
            options = {"max_epochs": 1, "gradient_clip_val": run["clip_norm"], "limit_val_batches": 0}
            pl.Trainer(**PLAIN, **options).fit(module, datamodule=data)

    times = times_by_turns({"loop": lambda: loops.fit(**run, epochs=1), "lightning": lightning}, rounds)
    speed = {name: rows / statistics.median(seconds) for name, seconds in times.items()}
    details = {f"{name}_rows_per_s": round(value, 1) for name, value in speed.items()}
    where = f"{rows:,} real Jigsaw comments, at most 128 tokens, batch {BATCH}, packaged encoder, float32"
    ratio = speed["lightning"] / speed["loop"]
    record("lightning.vs_loop", ratio, unit="x", asked=">= 0.97 x", data=where, command=COMMAND, **details)


def record_evaluate(one_by_one: int) -> None:
    """Trainer.validate over buckets against single rows padded to 512."""
    comments = protocol_rows().query("role == 'valid'")
    data = tagging.CommentDataModule(comments.head(32), comments, max_length=512, read_batch_size=8, labels=LABELS)
    data.setup()
    module = tagging.CommentTagger(LABELS).eval()
    single = Padded(data.tokens["valid"], comments[LABELS].to_numpy(), 512)
    drawn = np.random.default_rng(0).choice(len(comments), one_by_one, replace=False)

    @torch.inference_mode()
    def alone() -> None:
        for row in drawn:
            module(**single[row][0])

    with tagging.quiet():
        trainer = pl.Trainer(**PLAIN)
        times = times_by_turns({"one_row": alone}, 1)
        start = time.perf_counter()
        trainer.validate(module, datamodule=data, verbose=False)
        times["buckets"] = [time.perf_counter() - start]
    speed = {"one_row": one_by_one / times["one_row"][0], "buckets": len(comments) / times["buckets"][0]}
    details = {f"{name}_rows_per_s": round(value, 1) for name, value in speed.items()}
    where = f"the {len(comments):,} valid rows of Jigsaw ({one_by_one} of them row by row), at most 512 tokens, "
    where += "batches of 8, packaged encoder, float32"
    ratio = speed["buckets"] / speed["one_row"]
    record("lightning.evaluate", ratio, unit="x", asked=">= 6 x", data=where, command=COMMAND, **details)


class Clock(pl.Callback):
    """Write the seconds of all steps but the first eight."""

    def __init__(self, file: str) -> None:
        self.file, self.ends = Path(file), []

    def on_train_batch_end(self, trainer: pl.Trainer, *rest: object) -> None:
        """Note the time."""
        self.ends.append(time.perf_counter())

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Write steps and seconds."""
        if trainer.is_global_zero:
            self.file.write_text(json.dumps([len(self.ends) - 8, self.ends[-1] - self.ends[7]]))


def steps_per_second(folder: Path, processes: int, threads: int = 1) -> float:
    """Of a run of scripts/train.py with so many threads a process."""
    noted = folder / f"{processes}.json"
    callbacks = [{"class_path": "scale.Clock", "init_args": {"file": str(noted)}}]
    trainer = {"max_epochs": 1, "accelerator": "cpu", "devices": processes, "logger": False, "limit_val_batches": 0}
    trainer |= {"enable_checkpointing": False, "enable_progress_bar": False, "callbacks": callbacks}
    trainer |= {"gradient_clip_val": 1.0} | ({"strategy": "ddp"} if processes > 1 else {})
    data = {"train": str(folder / "rows.csv"), "valid": str(folder / "rows.csv"), "labels": LABELS}
    settings = {"data": data | {"batch_size": BATCH, "cache": str(folder / "cache")}, "trainer": trainer}
    (folder / "run.yaml").write_text(yaml.safe_dump(settings))
    script = FOLDER.parent / "scripts" / "train.py"
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONPATH": str(FOLDER)}
    command = [sys.executable, str(script), "fit", "--config", str(folder / "run.yaml")]
    subprocess.run(command, check=True, env=environment, cwd=folder, stdout=subprocess.DEVNULL)
    steps, seconds = json.loads(noted.read_text())
    return steps / seconds


def record_scaling(rows: int, rounds: int) -> None:
    """Two processes against one."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        some_comments(rows).to_csv(folder / "rows.csv", index=False)
        steps_per_second(folder, 1)
        speeds = [[steps_per_second(folder, processes) for processes in (1, 2)] for _ in range(rounds)]
        two_threads = steps_per_second(folder, 1, threads=2) * BATCH
    one, two = (statistics.median(column) * BATCH for column in zip(*speeds, strict=True))
    details = {"one_rows_per_s": round(one, 1), "two_rows_per_s": round(two, 1)}
    details["one_process_two_threads_rows_per_s"] = round(two_threads, 1)
    where = f"{rows:,} real Jigsaw comments, at most 128 tokens, batch {BATCH}, packaged encoder, gloo, float32"
    record("ddp.scaling", two / one, unit="x", asked=">= 1.7 x", data=where, command=COMMAND, **details)


def record_cache(rounds: int) -> None:
    """First batch from text against first batch from the cache."""
    from helpers import datasets

    tokenizer = text.load_tokenizer()
    with tempfile.TemporaryDirectory() as name:
        rows = datasets.load_comments("jigsaw")[["comment_text", *LABELS]]
        rows.to_csv(Path(name, "rows.csv"), index=False)

        def first(cache: str) -> None:
            tokens = loaders.tokenize_files(Path(name, "rows.csv"), tokenizer, cache=Path(name, cache))
            next(iter(loaders.file_loader(tokens, shuffle=True)))

        from_text = []
        for number in range(rounds):
            start = time.perf_counter()
            first(f"new{number}")
            from_text.append(time.perf_counter() - start)
        again = times_by_turns({"cache": lambda: first("new0")}, 9)["cache"]
        start = time.perf_counter()
        frame = datasets.load_comments(Path(name, "rows.csv"), id=None)
        tokens = loaders.tokenize(frame["comment_text"], tokenizer)
        next(iter(loaders.token_loader(tokens, frame[LABELS], shuffle=True)))
        in_memory = time.perf_counter() - start
    parts = {"in_memory_s": round(in_memory, 3)} | {
        "text_s": round(statistics.median(from_text), 3),
        "cache_s": round(statistics.median(again), 4),
    }
    where = f"{len(rows):,} real Jigsaw comments as CSV, at most 128 tokens, shuffled length buckets of 32"
    ratio = parts["text_s"] / parts["cache_s"]
    record("data.token_cache", ratio, unit="x", asked=">= 20 x", data=where, command=COMMAND, **parts)


REPEAT = """
import sys
import pandas as pd, pyarrow as pa, pyarrow.parquet as pq
from helpers import datasets
rows = datasets.load_comments("jigsaw")[["comment_text", *datasets.loading.JIGSAW_LABELS]]
table, left = pa.Table.from_pandas(rows, preserve_index=False), int(sys.argv[2])
with pq.ParquetWriter(sys.argv[1], table.schema) as writer:
    while left > 0:
        writer.write_table(table.slice(0, left), row_group_size=10_000)
        left -= len(table)
"""
WALK = """
import json, resource, sys, time
import torch
from helpers import loaders, losses, text
start, tokenizer = time.perf_counter(), text.load_tokenizer()
tokens = loaders.tokenize_files(sys.argv[1], tokenizer, cache=sys.argv[2])
made = time.perf_counter()

class Mean(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.scores = torch.nn.EmbeddingBag(len(tokenizer), len(tokens.labels), mode="mean", padding_idx=0)

    def forward(self, input_ids, attention_mask):
        return self.scores(input_ids)

model, rows = Mean(), torch.zeros(len(tokens), dtype=torch.int8)
loader = loaders.file_loader(tokens, batch_size=256, shuffle=True)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for batch in loader:
    rows[batch.rows] += 1
    optimizer.zero_grad()
    losses.bce(model(**batch[0]), batch[1]).backward()
    optimizer.step()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
size = tokens.path.stat().st_size
once = bool((rows == 1).all())
print(json.dumps([len(rows), once, made - start, time.perf_counter() - made, peak, size / 1e9]))
"""


def record_ten_million(rows: int) -> None:
    """Peak memory of processes of their own: one that tokenizes and trains, one that opens the cache and trains."""
    with tempfile.TemporaryDirectory() as folder:
        files = [f"{folder}/rows.parquet", f"{folder}/cache"]
        subprocess.run([sys.executable, "-c", REPEAT, files[0], str(rows)], check=True)
        size = Path(files[0]).stat().st_size
        walks = [
            json.loads(subprocess.run([sys.executable, "-c", WALK, *files], check=True, capture_output=True).stdout)
            for _ in range(2)
        ]
    (count, once, made, trained, peak, kept), (again, once_more, opened, _, peak_from_cache, _) = walks
    if count != rows or again != rows or not (once and once_more):
        sys.exit(f"data.ten_million is not recorded: {count} and {again} rows, each once: {once} and {once_more}")
    details = {"from_cache_gb": round(peak_from_cache, 2), "tokenize_s": round(made), "open_s": round(opened, 1)}
    details |= {"train_s": round(trained), "parquet_gb": round(size / 1e9, 2), "token_ids_gb": round(kept, 2)}
    where = f"{rows:,} rows, the real Jigsaw comments repeated, as Parquet; at most 128 tokens, batches of 256"
    record("data.ten_million", peak, unit="GB", asked="< 1.5 GB", data=where, command=COMMAND, **details)


def main() -> None:
    """Measure and record."""
    figures = {
        "lightning.vs_loop": lambda: record_loop(640, 2),
        "lightning.evaluate": lambda: record_evaluate(100),
        "ddp.scaling": lambda: record_scaling(640, 3),
        "data.token_cache": lambda: record_cache(3),
        "data.ten_million": lambda: record_ten_million(TEN_MILLION),
    }
    run_figures(figures, __doc__)


if __name__ == "__main__":
    main()
