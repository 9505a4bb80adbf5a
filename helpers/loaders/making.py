"""Token ids made once: CSV or Parquet files of any size in, a folder of Arrow files out."""

import hashlib
import json
import shutil
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.datasets.reading import DataError
from helpers.loaders.files import INDEX, TokenFiles, arrow_name, open_tokens
from helpers.loaders.tables import column_names, read_columns
from helpers.loaders.tokens import tokenize

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

UNFINISHED = ".making-"
_MARK_OF = {"0": 0, "1": 1, "0.0": 0, "1.0": 1, "-1": -1, "-1.0": -1, "": -1}


def tokenize_files(
    files: str | Path | Sequence[str | Path],
    tokenizer: "PreTrainedTokenizerBase",
    *,
    cache: str | Path,
    text: str = "comment_text",
    labels: Sequence[str] | None = None,
    ignore: Sequence[str] = ("id",),
    max_tokens: int = 128,
    shards: int = 16,
) -> TokenFiles:
    r"""Token ids of the texts in CSV or Parquet files, made once and kept in a folder of the cache.

    The folder's name is a digest of the tokenizer, of all settings, and of the files' paths, sizes and times: what has
    changed is made anew, what has not is opened in milliseconds. Files are read as a stream, so that their size does
    not matter. A folder appears as a whole or not at all.

    Args:
        files: one or several `.csv` or `.parquet` files with the same columns.
        tokenizer: a fast one.
        cache: folder that holds the folders.
        text: the column that holds the text.
        labels: label columns; None takes all but `text` and `ignore`. 0, 1, and -1 or empty where unknown.
        ignore: columns that are no labels; they need not be there.
        max_tokens: length at which texts are cut.
        shards: number of files. Rows are dealt to them in turn, so that each spans all of the data and all are equally
            long; take a multiple of the number of processes that will share them in a `TokenStream`.

    Raises:
        FileNotFoundError: no such file.
        DataError: columns, texts or labels that cannot be trusted; the message names file, row and column.
        ValueError: as `tokenize`.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import loaders, text
        >>> _ = Path("mine.csv").write_text("id,comment_text,rude\n1,Thank you,0\n2,Go away,1\n")
        >>> tokens = loaders.tokenize_files("mine.csv", text.load_tokenizer(), cache="cache", shards=1)
        >>> tokens.labels, tokens.rows, [path.name for path in tokens.files]
        (['rude'], [2], ['tokens-00000.arrow'])
        >>> _ = Path("mine.csv").write_text("id,comment_text,rude\n1,Thank you,0\n2,Go away,perhaps\n")
        >>> loaders.tokenize_files("mine.csv", text.load_tokenizer(), cache="cache")
        Traceback (most recent call last):
            ...
        helpers.datasets.reading.DataError: mine.csv: row 2: column rude holds 'perhaps' where a label is 0 or 1 ...
    """
    paths = [Path(path) for path in ([files] if isinstance(files, str | Path) else files)]
    if not paths or shards < 1:
        raise ValueError(f"files={files!r}, shards={shards}: at least one of each is needed")
    names = label_columns(paths, text=text, labels=labels, ignore=ignore)
    settings = {"text": text, "labels": names, "max_tokens": max_tokens, "shards": shards, "version": 1}
    target = Path(cache) / _digest(paths, tokenizer, settings)
    if not (target / INDEX).is_file():
        Path(cache).mkdir(parents=True, exist_ok=True)
        _clear_abandoned(Path(cache))
        partial = Path(tempfile.mkdtemp(prefix=UNFINISHED, dir=cache))
        try:
            _write(partial, paths, tokenizer, settings)
            partial.chmod(0o755)
            _put(partial, target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return open_tokens(target)


def _clear_abandoned(cache: Path) -> None:
    """Remove what a killed process left half made; a day without a change says that it is dead."""
    for folder in cache.glob(f"{UNFINISHED}*"):
        changed = [path.stat().st_mtime for path in (folder, *folder.rglob("*"))]
        if time.time() - max(changed) > 86_400:
            shutil.rmtree(folder, ignore_errors=True)


def _put(partial: Path, target: Path) -> None:
    """Rename a whole folder; one that is no longer whole is moved out of the way, a whole one stays."""
    if target.exists() and not (target / INDEX).is_file():
        target.rename(partial.with_name(f"{partial.name}-broken"))
        shutil.rmtree(partial.with_name(f"{partial.name}-broken"), ignore_errors=True)
    try:
        partial.rename(target)
    except OSError:  # another process was faster
        if not (target / INDEX).is_file():
            raise


def label_columns(
    files: Sequence[str | Path], *, text: str, labels: Sequence[str] | None, ignore: Sequence[str]
) -> list[str]:
    r"""The label columns of CSV or Parquet files, after a look at the header of every file.

    Args:
        files: with the same columns.
        text: the column that holds the text.
        labels: label columns; None takes all but `text` and `ignore`.
        ignore: columns that are no labels; they need not be there.

    Raises:
        FileNotFoundError: no such file.
        DataError: a column is missing, or no label column is left; the message names the file.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import loaders
        >>> _ = Path("mine.csv").write_text("id,comment_text,rude,kind\n1,Thank you,0,1\n")
        >>> loaders.label_columns(["mine.csv"], text="comment_text", labels=None, ignore=["id"])
        ['rude', 'kind']
    """
    first: list[str] = []
    for path in map(Path, files):
        columns = column_names(path)
        first = first or columns
        wanted = list(labels) if labels is not None else [name for name in first if name not in (text, *ignore)]
        if missing := [name for name in (text, *wanted) if name not in columns]:
            raise DataError(f"{path}: missing column {', '.join(missing)}; found {', '.join(columns)}")
    if not wanted:
        raise DataError(f"{files[0]}: no label column beside {', '.join([text, *ignore])}")
    return wanted


def _digest(paths: Sequence[Path], tokenizer: "PreTrainedTokenizerBase", settings: dict[str, object]) -> str:
    stats = [(str(path.resolve()), path.stat().st_size, path.stat().st_mtime_ns) for path in paths]
    # Without truncation and padding, which each call of a tokenizer leaves as it used them.
    state = json.loads(tokenizer.backend_tokenizer.to_str()) | {"truncation": None, "padding": None}
    whole = json.dumps([stats, settings, state], sort_keys=True)
    return hashlib.sha256(whole.encode()).hexdigest()[:32]


def _write(folder: Path, paths: Sequence[Path], tokenizer: "PreTrainedTokenizerBase", settings: dict[str, Any]) -> None:
    """Tokenize all files into Arrow files, and write an index."""
    columns, cut = [settings["text"], *settings["labels"]], 0
    small = np.uint16 if len(tokenizer) < 2**16 else np.int32
    files = _Shards(folder, settings["shards"])
    for path in paths:
        done = 0
        for part in read_columns(path, columns):
            texts = _texts(path, done, part[settings["text"]], settings["text"])
            made = tokenize(texts, tokenizer, max_tokens=settings["max_tokens"])
            marks = [_marks(path, done, name, part[name]) for name in settings["labels"]]
            files.add(made.ids.astype(small), made.offsets, np.stack(marks, axis=1))
            done, cut = done + len(texts), cut + made.cut
        if not done:
            raise DataError(f"{path}: no rows")
    index = {"labels": settings["labels"], "rows": files.close(), "pad_id": tokenizer.pad_token_id or 0, "cut": cut}
    index["max_tokens"] = settings["max_tokens"]
    (folder / INDEX).write_text(json.dumps(index) + "\n", encoding="utf-8")


class _Shards:
    """Arrow files to which rows are dealt in turn."""

    def __init__(self, folder: Path, shards: int, block_rows: int = 1_000) -> None:
        self.folder, self.shards, self.block_rows, self.dealt = folder, shards, block_rows, 0
        self.rows: list[int] = []
        self.writers: list[Any] = []
        self.kept: list[list[Any]] = []

    def add(self, ids: np.ndarray, offsets: np.ndarray, labels: np.ndarray) -> None:
        """Deal rows; a file is written to in blocks."""
        import pyarrow as pa
        from datasets.arrow_writer import ArrowWriter

        lists = pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), pa.array(ids))
        marks = pa.FixedSizeListArray.from_arrays(pa.array(labels.ravel().astype(np.int8)), labels.shape[1])
        length = pa.array(np.diff(offsets).astype(np.int32))
        table = pa.Table.from_arrays([lists, length, marks], names=["input_ids", "length", "labels"])
        place = (self.dealt + np.arange(len(table))) % self.shards
        self.dealt += len(table)
        for shard in range(self.shards):
            own = table.take(np.flatnonzero(place == shard))
            if len(own) and shard == len(self.writers):
                path = str(self.folder / arrow_name(shard))
                self.writers.append(ArrowWriter(path=path, schema=table.schema))
                self.kept.append([])
                self.rows.append(0)
            if len(own):
                self.kept[shard].append(own)
                self.rows[shard] += len(own)
                if sum(map(len, self.kept[shard])) >= self.block_rows:
                    self._flush(shard)

    def _flush(self, shard: int) -> None:
        import pyarrow as pa

        if self.kept[shard]:
            self.writers[shard].write_table(pa.concat_tables(self.kept[shard]).combine_chunks())
            self.kept[shard] = []

    def close(self) -> list[int]:
        """Finish all files; the rows of each."""
        for shard, writer in enumerate(self.writers):
            self._flush(shard)
            writer.finalize()
        return self.rows


def _texts(path: Path, done: int, texts: list[Any], column: str) -> list[str]:
    for place, value in enumerate(texts):
        if not isinstance(value, str) or not value.strip():
            raise DataError(f"{path}: row {done + place + 1}: column {column} is empty or no text ({value!r})")
    return texts


def _marks(path: Path, done: int, column: str, values: Iterable[Any]) -> np.ndarray:
    """Labels as int8, -1 where unknown."""
    found = []
    for place, value in enumerate(values):
        unknown = value is None or value != value
        mark = _MARK_OF.get("" if unknown else str(int(value) if isinstance(value, bool) else value))
        if mark is None:
            raise DataError(
                f"{path}: row {done + place + 1}: column {column} holds {value!r} where a label is 0 or 1 (-1 or empty "
                "where unknown). If it is no label, name the label columns with labels=[...]"
            )
        found.append(mark)
    return np.array(found, dtype=np.int8)
