"""Predict the texts of a CSV or Parquet file of any size: bounded memory, resumed after a kill, whole or not there."""

import hashlib
import time
import warnings
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from helpers.arguments import check_choice, check_count, check_path
from helpers.datasets.reading import DataError, column_names, read_columns
from helpers.export.predictor import GRAPH, SETTINGS, VOCABULARY, WEIGHTS, Predictor
from helpers.export.unfinished import Unfinished, check_target, unfinished


@dataclass(frozen=True)
class FileSummary:
    """What `predict_file` wrote, or has written so far.

    Attributes:
        target: the CSV file, which exists once all rows are written; of a symbolic link, the file that it points to.
        labels: names of the L labels, the columns beside the ids.
        rows: number of rows written, those of an earlier call included.
        resumed: number of rows that an earlier, stopped call had written.
        truncated: number of texts that were longer than the model reads, in all rows.
        seconds: time since the call.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import export
        >>> summary = export.FileSummary(Path("scored.csv"), ("rude", "spam"), rows=300)
        >>> summary.rows, summary.resumed
        (300, 0)
    """

    target: Path
    labels: tuple[str, ...]
    rows: int
    resumed: int = 0
    truncated: int = 0
    seconds: float = 0.0


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
) -> FileSummary:
    r"""Predict the probabilities of all texts of a CSV or Parquet file, and write them with their ids into a CSV file.

    Rows are read, predicted and written some thousand at a time. Until all are there they lie in a hidden folder beside
    the target, `.NAME.predict-DIGEST`. A call that was killed, or met a row that it cannot trust, and is made again
    resumes after the last rows that were written, if they are still the first rows of the source. The same `batch_rows`
    then gives the same bytes as a call that was never stopped.

    Args:
        folder: of the tagger, as `Predictor.load` reads it.
        source: a `.csv` or `.parquet` file.
        target: the CSV file to write: the id, then one column per label. Its folder must exist. Where it is a symbolic
            link, the file that the link points to is written.
        text: name of the text column; an empty text is predicted too.
        id: name of the id column; ids are copied unchanged.
        tags: write decisions too, 0 or 1 by the folder's thresholds, in columns `LABEL_tag`.
        force: replace an existing target, and unfinished results of other rows, another model or other settings.
        batch_rows: number of rows at a time.

    Raises:
        ValueError: an argument of another type or outside its range.
        FileNotFoundError: no such source, no tagger in the folder, or no such folder for the target.
        FileExistsError: the target exists, or unfinished results are of other rows, another model or other settings.
        IsADirectoryError: the target is a folder.
        DataError: the source cannot be trusted; the message names file and row.
        BlockingIOError: another process writes this target.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import export, models
        >>> encoder, tokenizer = models.load_encoder()
        >>> folder = models.save_tagger("tagger", models.BertTagger(encoder, 1), tokenizer, labels=["toxic"])
        >>> _ = Path("forum.csv").write_text("id,comment_text\na,You are kind\nb,Go away\n")
        >>> export.predict_file(folder, "forum.csv", "scored.csv").rows
        2
        >>> [line.split(",")[0] for line in Path("scored.csv").read_text().splitlines()]
        ['id', 'a', 'b']
    """
    options: dict[str, Any] = {"text": text, "id": id, "tags": tags, "force": force, "batch_rows": batch_rows}
    return deque(iter_predict_file(folder, source, target, **options), maxlen=1).pop()


def iter_predict_file(
    folder: str | Path,
    source: str | Path,
    target: str | Path,
    *,
    text: str = "comment_text",
    id: str = "id",
    tags: bool = False,
    force: bool = False,
    batch_rows: int = 4096,
) -> Iterator[FileSummary]:
    r"""Predict a file as `predict_file` does, one batch of rows per step of the iterator.

    The call checks all arguments, loads the model and locks the target; the rows are predicted while you iterate. An
    iterator that is closed before its end leaves its rows for the next call to resume.

    Args:
        folder: as `predict_file`, like all other arguments.
        source: of the texts.
        target: of the probabilities.
        text: name of the text column.
        id: name of the id column.
        tags: write decisions too.
        force: replace what exists.
        batch_rows: number of rows at a time.

    Returns:
        An iterator over the rows written so far. At its last step the target exists.

    Raises:
        ValueError: and other errors, as `predict_file`; those of arguments at the call, those of rows while iterating.

    Examples:
        >>> from pathlib import Path
        >>> from helpers import export, models
        >>> encoder, tokenizer = models.load_encoder()
        >>> folder = models.save_tagger("tagger", models.BertTagger(encoder, 1), tokenizer, labels=["toxic"])
        >>> _ = Path("forum.csv").write_text("id,comment_text\na,You are kind\nb,Go away\nc,Thanks\n")
        >>> for done in export.iter_predict_file(folder, "forum.csv", "scored.csv", batch_rows=2):
        ...     print(done.rows)
        2
        3
    """
    folder, source = check_path("folder", folder), check_path("source", source)
    target = check_path("target", target)
    batch_rows = check_count("batch_rows", batch_rows)
    check_choice("tags", tags, (True, False))
    check_choice("force", force, (True, False))
    columns = column_names(source)
    if missing := [str(name) for name in (id, text) if name not in columns]:
        advice = "name the columns with text= and id= (--text, --id)"
        raise DataError(f"{source}: missing column {', '.join(missing)}; found {', '.join(columns)}; {advice}")
    target = check_target(source, target, folder, force=force)
    before, predictor = _digest(folder), Predictor.load(folder)
    if before != _digest(folder):
        raise FileExistsError(f"{folder} was replaced while it was read: try again")
    _check_header(source, id, predictor.labels, tags=tags)
    settings = {"model": before, "text": text, "id": id, "tags": bool(tags)}
    steps = _steps(predictor, source, target, settings, force=force, batch_rows=batch_rows, folder=folder)
    next(steps)  # up to where the target is locked, so that all refusals happen in this call
    return steps


def _check_header(source: Path, id: str, labels: list[str], *, tags: bool) -> None:
    if id in labels:
        raise DataError(f"{source}: the id column {id!r} has the name of a label: rename one")
    written = [id, *labels, *(f"{label}_tag" for label in labels if tags)]
    if twice := sorted({name for name in written if written.count(name) > 1}):
        raise ValueError(f"tags=True would write two columns {', '.join(twice)}: rename the label or the id column")


def _steps(
    predictor: Predictor,
    source: Path,
    target: Path,
    settings: dict[str, Any],
    *,
    force: bool,
    batch_rows: int,
    folder: Path,
) -> Iterator[FileSummary]:
    began, version, left_out = time.perf_counter(), _version(source), predictor.n_truncated
    with unfinished(target) as work:
        check_target(source, target, folder, force=force)  # another process may just have written it
        rows, truncated, seen = _resume(work, source, settings, force=force)
        left_out -= truncated
        done = FileSummary(target, tuple(predictor.labels), rows, resumed=rows, truncated=truncated)
        try:
            yield done
        except GeneratorExit:
            advice = "iterate over what iter_predict_file returns, or call predict_file"
            warnings.warn(f"{target}: nothing was written: {advice}", RuntimeWarning, stacklevel=2)
            raise
        for number, (ids, texts) in enumerate(_batches(source, settings, skip=rows, batch_rows=batch_rows)):
            if number:
                yield done
            table = _table(predictor, ids, texts, settings)
            _hash(seen, ids, texts)
            rows, truncated = rows + len(ids), predictor.n_truncated - left_out
            work.append(table, settings | {"rows": rows, "truncated": truncated, "seen": seen.hexdigest()})
            done = replace(done, rows=rows, truncated=truncated, seconds=time.perf_counter() - began)
        if not rows:
            raise DataError(f"{source}: no rows")
        if _version(source) != version:
            raise DataError(
                f"{source} changed while it was read: call again, which resumes if the first rows are the same"
            )
        check_target(source, target, folder, force=force)  # it may have been made meanwhile
        work.finish()
        yield done


def _version(path: Path) -> tuple[int, ...]:
    result = path.stat()
    return result.st_dev, result.st_ino, result.st_size, result.st_mtime_ns


def _batches(
    source: Path, settings: dict[str, Any], *, skip: int, batch_rows: int
) -> Iterator[tuple[list[Any], list[str]]]:
    """Ids and texts of the rows after the first `skip`, each row checked."""
    stop, (id, text) = 0, (settings["id"], settings["text"])
    for batch in read_columns(source, list(dict.fromkeys([id, text])), batch_rows):
        start, stop = stop, stop + len(batch[id])
        new = max(skip - start, 0)
        for row, (key, words) in enumerate(zip(batch[id][new:], batch[text][new:], strict=True), start + new + 1):
            if not isinstance(words, str):
                raise DataError(f"{source}: row {row}: column {text} holds {words!r}: expected a text")
            if key is None or key != key:
                raise DataError(f"{source}: row {row}: column {id} holds {key!r}: expected an id")
        if new < len(batch[id]):
            yield batch[id][new:], batch[text][new:]


def _table(predictor: Predictor, ids: list[Any], texts: list[str], settings: dict[str, Any]) -> pd.DataFrame:
    table = predictor.predict_proba(texts)
    if settings["tags"]:
        limits = pd.Series(predictor.thresholds)
        table = table.join(table.ge(limits, axis="columns").astype(int).add_suffix("_tag"))
    table.insert(0, settings["id"], pd.Series(ids, dtype=object))  # object: whole numbers stay whole
    return table


def _hash(seen: "hashlib._Hash", ids: list[Any], texts: list[str]) -> None:
    for key, text in zip(ids, texts, strict=True):
        seen.update(f"{key}\0{text}\0".encode("utf-8", "surrogatepass"))


def _resume(
    work: Unfinished, source: Path, settings: dict[str, Any], *, force: bool
) -> tuple[int, int, "hashlib._Hash"]:
    """Number of rows that a stopped call wrote, of texts that it truncated, and the digest of those rows."""
    try:
        state = work.read(settings)
        if state is not None:
            return state["rows"], state["truncated"], _hash_first(source, work, settings, state)
    except FileExistsError:
        if not force:
            raise
    work.begin()
    return 0, 0, hashlib.sha256()


def _hash_first(source: Path, work: Unfinished, settings: dict[str, Any], state: dict[str, Any]) -> "hashlib._Hash":
    """Digest of the source's first rows, which must be those that a stopped call wrote."""
    seen, left = hashlib.sha256(), state["rows"]
    for batch in read_columns(source, list(dict.fromkeys([settings["id"], settings["text"]])), 4096):
        ids, texts = (batch[settings[name]][:left] for name in ("id", "text"))
        _hash(seen, ids, texts)
        left -= len(ids)
        if not left:
            break
    if left or seen.hexdigest() != state["seen"]:
        raise work.refusal(f"are of another source, whose first {state['rows']:,} rows differ")
    return seen


def _digest(folder: Path) -> str:
    """SHA-256 over all that decides a tagger's predictions."""
    whole = hashlib.sha256()
    for name in (GRAPH, WEIGHTS, SETTINGS, VOCABULARY, "config.json", "tokenizer.json"):
        if (folder / name).is_file():
            with (folder / name).open("rb") as file:
                whole.update(name.encode() + hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()
