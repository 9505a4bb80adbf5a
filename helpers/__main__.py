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


if __name__ == "__main__":
    sys.exit(main())
