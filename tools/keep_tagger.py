"""Train the tagger that notebooks 04, 07 and 08 share, unless it is kept already: with all cores, before they run.

python tools/keep_tagger.py
"""

import sys

from helpers import config, datasets, loops


def main() -> None:
    """The split and the settings of notebook 04, in the profile that COURSE_PROFILE names."""
    course = config.profile()
    comments = datasets.subsample(datasets.load_comments(course.comments), course.max_rows)
    train = datasets.split(comments, valid=0.15, test=0.25, seed=0, groups="near-duplicates").train
    folder, progress = config.runs_folder() / f"tagger_{course.name}", sys.stderr.isatty()
    kept = loops.kept_tagger(folder, train, **course.tagger_settings(), progress=progress)
    print(f"the tagger of notebook 04 is there; it was trained in {kept.minutes:.1f} minutes")


if __name__ == "__main__":
    main()
