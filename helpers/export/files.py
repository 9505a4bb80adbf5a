"""A CSV file of any size through a predictor: in bounded memory, taken up where it was stopped, whole or not there."""

import hashlib
import json
import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import pandas as pd
from filelock import FileLock, Timeout

from helpers.datasets.reading import DataError
from helpers.export.names import GRAPH, SETTINGS, VOCABULARY, WEIGHTS
from helpers.export.predictor import Predictor
from helpers.loaders.tables import column_names, read_columns


def predict_file(
    folder: str | Path,
    source: str | Path,
    target: str | Path,
    *,
    text: str = "comment_text",
    id: str = "id",
    tags: bool = False,
    force: bool = False,
    batch_rows: int = 4096,
) -> Iterator[int]:
    r"""Write the probabilities of all texts of a CSV (or Parquet) file into a CSV file with the same ids.

    Rows are read, scored and written some thousand at a time into `TARGET.part`, which becomes `target` when all are
    there. A call that was killed, or met a row that it cannot trust, and is made again, goes on after the last rows
    that were written, provided that they are still the first of the source.

    Args:
        folder: of the tagger, as `Predictor.load` reads it.
        source: a `.csv` or `.parquet` file.
        target: the CSV file to write: the id, then a column a label.
        text: the column that holds the text; an empty text is scored too.
        id: the column that holds the ids, copied as they stand.
        tags: write decisions too, 0 or 1 by the folder's thresholds, in columns `LABEL_tag`.
        force: replace a target that exists, and what a stopped call with other rows, model or settings left.
        batch_rows: rows at a time.

    Yields:
        How many rows are written, after each batch (those of a call that is taken up included).

    Raises:
        FileNotFoundError: no such source, or no tagger in the folder.
        FileExistsError: the target exists, or what a stopped call left was made of other rows, model or settings.
        DataError: the source cannot be trusted; file and row are named.
        BlockingIOError: another process is writing this target.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import export, models
        >>> encoder, tokenizer = models.load_encoder()
        >>> folder = models.save_tagger("tagger", models.BertTagger(encoder, 1), tokenizer, labels=["toxic"])
        >>> _ = Path("forum.csv").write_text("id,comment_text\na,You are kind\nb,Go away\n")
        >>> list(export.predict_file(folder, "forum.csv", "scored.csv"))  # rows written so far, batch by batch
        [2]
        >>> [line.split(",")[0] for line in Path("scored.csv").read_text().splitlines()]
        ['id', 'a', 'b']
    """
    source, target, folder = Path(source), Path(target), Path(folder)
    columns = column_names(source)
    if missing := [name for name in (id, text) if name not in columns]:
        raise DataError(f"{source}: missing column {', '.join(missing)}; found {', '.join(columns)}")
    before, predictor = _digest(folder), Predictor.load(folder)
    if before != _digest(folder):
        raise FileExistsError(f"{folder} was replaced while it was read: try again")
    if id in predictor.labels:
        raise DataError(f"{source}: the column of ids, {id!r}, has the name of a label: rename one")
    settings = {"model": before, "text": text, "id": id, "tags": tags}
    lock = Path(f"{target}.lock")
    try:
        with FileLock(lock, timeout=0):
            try:
                _refuse_existing(source, target, force=force)
                yield from _write(predictor, source, target, settings, force=force, batch_rows=batch_rows)
            finally:
                lock.unlink(missing_ok=True)  # while it is still held, so that nobody holds another one meanwhile
    except Timeout as error:
        raise BlockingIOError(f"{target}: another process is writing it") from error


def _refuse_existing(source: Path, target: Path, *, force: bool) -> None:
    if target.exists() and (not force or target.is_dir() or target.samefile(source)):
        raise FileExistsError(f"{target} exists: name another file, or replace it with force=True (--force)")


def _write(
    predictor: Predictor, source: Path, target: Path, settings: dict[str, Any], *, force: bool, batch_rows: int
) -> Iterator[int]:
    part, state = Path(f"{target}.part"), Path(f"{target}.part.json")
    rows, size, seen = 0, 0, hashlib.sha256()
    if state.is_file() and part.is_file():
        try:
            rows, size, seen = _begun(state, part, source, settings)
        except FileExistsError:
            if not force:
                raise
    with part.open("r+b" if size else "wb") as file:
        file.truncate(size)  # what was written after the last note
        file.seek(size)
        for ids, texts in _batches(source, settings, skip=rows, batch_rows=batch_rows):
            _append(file, _table(predictor, ids, texts, settings), header=file.tell() == 0)
            _hash(seen, ids, texts)
            rows += len(ids)
            _note(state, {**settings, "rows": rows, "bytes": file.tell(), "seen": seen.hexdigest()})
            yield rows
        if not rows:
            raise DataError(f"{source}: no rows")
    part.replace(target)
    state.unlink(missing_ok=True)


def _batches(
    source: Path, settings: dict[str, Any], *, skip: int, batch_rows: int
) -> Iterator[tuple[list[Any], list[str]]]:
    """Ids and texts of the rows behind the first `skip`, each row checked."""
    done, (id, text) = 0, (settings["id"], settings["text"])
    for batch in read_columns(source, [id, text], batch_rows):
        start, done = done, done + len(batch[id])
        new = max(skip - start, 0)
        for place, (key, words) in enumerate(zip(batch[id][new:], batch[text][new:], strict=True)):
            if not isinstance(words, str) or key is None:
                column, cell = (id, key) if key is None else (text, words)
                raise DataError(f"{source}: row {start + new + place + 1}: column {column} holds {cell!r}")
        if new < len(batch[id]):
            yield batch[id][new:], batch[text][new:]


def _table(predictor: Predictor, ids: list[Any], texts: list[str], settings: dict[str, Any]) -> pd.DataFrame:
    table = predictor.predict(texts)
    if settings["tags"]:
        limits = pd.Series(predictor.thresholds)
        table = table.join(table.ge(limits, axis="columns").astype(int).add_suffix("_tag"))
    table.insert(0, settings["id"], pd.Series(ids, dtype=object))  # object: whole numbers stay whole
    return table


def _append(file: BinaryIO, table: pd.DataFrame, *, header: bool) -> None:
    file.write(table.to_csv(index=False, header=header, float_format="%.6g", lineterminator="\n").encode())
    file.flush()
    os.fsync(file.fileno())


def _hash(seen: "hashlib._Hash", ids: list[Any], texts: list[str]) -> None:
    for key, text in zip(ids, texts, strict=True):
        seen.update(f"{key}\0{text}\0".encode("utf-8", "surrogatepass"))


def _note(path: Path, state: dict[str, Any]) -> None:
    new = path.with_name(f"{path.name}.new")
    new.write_text(json.dumps(state) + "\n", encoding="utf-8")
    new.replace(path)


def _begun(path: Path, part: Path, source: Path, settings: dict[str, Any]) -> tuple[int, int, "hashlib._Hash"]:
    """Rows and bytes that a stopped call wrote, and the digest of those rows."""
    advice = "begin anew with force, or name another target"
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        rows, size = int(state["rows"]), int(state["bytes"])
    except (ValueError, KeyError, TypeError) as error:
        raise FileExistsError(f"{path} is torn: {advice}") from error
    if changed := [name for name in settings if state.get(name) != settings[name]]:
        raise FileExistsError(f"{part} was begun with another {' and '.join(changed)}: {advice}")
    if part.stat().st_size < size:
        raise FileExistsError(f"{part} is shorter than {path.name} says: {advice}")
    seen, left = hashlib.sha256(), rows
    for batch in read_columns(source, [settings["id"], settings["text"]], 4096):
        ids, texts = (list(islice(batch[settings[name]], left)) for name in ("id", "text"))
        _hash(seen, ids, texts)
        left -= len(ids)
        if not left:
            break
    if left or seen.hexdigest() != state.get("seen"):
        raise FileExistsError(f"{part} was begun with another source, whose first {rows:,} rows differ: {advice}")
    return rows, size, seen


def _digest(folder: Path) -> str:
    """SHA-256 over what makes a tagger's answers."""
    whole = hashlib.sha256()
    for name in (GRAPH, WEIGHTS, SETTINGS, VOCABULARY, "config.json", "tokenizer.json"):
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                whole.update(name.encode() + hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()
