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
        description="Score a CSV or Parquet file with a saved tagger. Killed and started again, it goes on.",
    )
    score.add_argument("model", help="folder of a tagger, of models.save_tagger or export.to_onnx")
    score.add_argument("file", help="the .csv or .parquet file")
    score.add_argument("-o", "--output", required=True, help="the CSV file to write: id, then a column a label")
    score.add_argument("--text", default="comment_text", help="column of the texts (default: %(default)s)")
    score.add_argument("--id", default="id", help="column of the ids (default: %(default)s)")
    score.add_argument("--tags", action="store_true", help="also write 0 or 1, by the model's thresholds")
    score.add_argument("--force", action="store_true", help="replace the output, and begin anew")
    score.set_defaults(run=_predict)
    options = parser.parse_args(arguments)
    return options.run(options)


def _download(options: argparse.Namespace) -> int:
    from helpers import datasets

    try:
        files = datasets.download(options.name, options.folder, force=options.force)
    except (datasets.DownloadError, OSError) as error:
        print(f"download {options.name}: {error}", file=sys.stderr)
        return 1
    for file in files:
        print(file)
    return 0


def _predict(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from helpers import export

    settings = {"text": options.text, "id": options.id, "tags": options.tags, "force": options.force}
    try:
        with tqdm(unit=" rows", disable=None) as bar:
            for rows in export.predict_file(options.model, options.file, options.output, **settings):
                bar.update(rows - bar.n)
    except (ValueError, OSError) as error:
        print(f"predict: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("predict: stopped; the same command goes on from here", file=sys.stderr)
        return 130
    print(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
