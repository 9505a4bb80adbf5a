"""The command line of the package: `python -m helpers COMMAND`, thin over the modules."""

import argparse
import sys


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit status: 0, or 1 with a message on the error stream."""
    parser = argparse.ArgumentParser(prog="python -m helpers", description="Tools of the course From Counts to BERT.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    fetch = commands.add_parser(
        "download",
        help="fetch the real data with your own account",
        description="Fetch real data into data/jigsaw or data/imdb. Jigsaw needs a Kaggle account; IMDB needs none.",
    )
    fetch.add_argument("name", choices=["jigsaw", "imdb"], help="the data set")
    fetch.add_argument("--folder", help="data folder (default: the course's data, or ./data)")
    fetch.add_argument("--force", action="store_true", help="fetch again what is there")
    fetch.set_defaults(run=_download)
    score = commands.add_parser(
        "predict",
        help="probabilities of the texts in a file of any size",
        description="Predict the texts of a CSV or Parquet file with a saved tagger. A stopped command resumes.",
    )
    score.add_argument("model", help="folder of a tagger, of models.save_tagger or export.to_onnx")
    score.add_argument("file", help="the .csv or .parquet file")
    score.add_argument(
        "-o",
        "--output",
        required=True,
        help="the CSV file to write, in a folder that exists: id, then one column per label",
    )
    score.add_argument("--text", default="comment_text", help="text column (default: %(default)s)")
    score.add_argument("--id", default="id", help="id column (default: %(default)s)")
    score.add_argument("--tags", action="store_true", help="also write 0 or 1, by the model's thresholds")
    score.add_argument("--force", action="store_true", help="replace the output, and begin anew")
    score.set_defaults(run=_predict)
    options = parser.parse_args(arguments)
    return options.run(options)


def _download(options: argparse.Namespace) -> int:
    from helpers import datasets

    try:
        files = datasets.download(options.name, options.folder, force=options.force)
    except (RuntimeError, OSError) as error:
        print(f"download {options.name}: {_one_line(error)}", file=sys.stderr)
        return 1
    for file in files:
        print(file)
    return 0


def _predict(options: argparse.Namespace) -> int:
    import warnings

    from tqdm import tqdm

    settings = {"text": options.text, "id": options.id, "tags": options.tags, "force": options.force}
    written: list[int] = []
    try:
        from helpers import export
        from helpers.export.scoring import FileSummary

        with warnings.catch_warnings(), tqdm(unit=" rows", disable=None) as bar:
            warnings.showwarning = lambda message, *_: bar.write(f"predict: {_one_line(message)}", sys.stderr)

            def show(step: FileSummary) -> None:
                written.append(step.rows)
                bar.update(step.rows - bar.n)

            done = export.predict_file(options.model, options.file, options.output, on_batch=show, **settings)
    except (ValueError, OSError, ImportError, RuntimeError, MemoryError) as error:
        print(f"predict: {_one_line(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        where = f"after {written[-1]:,} rows" if written else "before any row was written"
        print(f"predict: stopped {where}; the same command resumes from there", file=sys.stderr)
        return 130
    resumed, truncated = f"{done.resumed:,} of them by an earlier call", f"{done.truncated:,} texts truncated"
    notes = [note for note, number in ((resumed, done.resumed), (truncated, done.truncated)) if number]
    print(f"predict: {', '.join([f'{done.rows:,} rows', *notes])}, {done.seconds:.1f} s", file=sys.stderr)
    print(options.output)
    return 0


def _one_line(message: object) -> str:
    return " ".join(str(message).split()) or type(message).__name__


if __name__ == "__main__":
    sys.exit(main())
