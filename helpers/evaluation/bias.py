"""Does a model judge harmless comments worse because of the group that they name? Scores by group, and their mean.

A model learns from comments in which some groups are named mostly by people who insult them, and may take the name for
the insult. The overall AUC hardly shows it, since few rows name any group.
"""

import unicodedata
import warnings
from collections.abc import Hashable, Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import regex
from scipy import stats

from helpers.arguments import as_numbers, check_count, check_list, check_mapping, check_names, check_number, check_table
from helpers.metrics import auc_by_label
from helpers.metrics.checks import Table, check_same_rows, checked_label, decide, refuse_cells
from helpers.text import UNSPACED, as_texts

AREAS = ("subgroup_auc", "bpsn_auc", "bnsp_auc")
POWER = -5  # of the competition: the lower the power, the more the lowest AUCs decide


def bias_report(
    targets: Table, probabilities: Table, groups: pd.DataFrame, *, min_support: int = 10, threshold: float | None = None
) -> pd.DataFrame:
    """How well one label is told apart inside each group, and between the group and all other rows.

    The background of a group are the rows known not to be in it. Each AUC is the chance that a row with the label
    scores above one without it, ties count 0.5, as scikit-learn's `roc_auc_score`; the rows it takes are

    - `subgroup_auc`: with and without the label, both from the group. Low: inside the group the model is confused.
    - `bpsn_auc` (background positive, subgroup negative): low where harmless rows of the group score as high as toxic
      ones elsewhere, so that they would be taken down.
    - `bnsp_auc` (background negative, subgroup positive): low where toxic rows of the group score as low as harmless
      ones elsewhere, so that they would be let through.

    Source: Borkan et al. 2019, Nuanced Metrics for Measuring Unintended Bias with Real Data for Text Classification;
    the metric of Kaggle's Jigsaw Unintended Bias in Toxicity Classification (2019).

    Args:
        targets: (N,) of 0, 1 and NaN (unknown, left out).
        probabilities: (N,) in [0, 1].
        groups: (N, G), one column per group: is the row in it? True or 1, False or 0, or NaN (unknown: the row does
            not count for that group). `mentions` makes such a table from texts. A row may be in several groups.
        min_support: how many rows with the label, and how many without, an AUC needs; with fewer it is NaN, as is a
            rate of fewer rows. 1 scores every group that has both classes.
        threshold: from which probability on a row is flagged; None leaves out the two columns that need it.

    Returns:
        By group: `rows` (known and in the group), `positives` (of them, with the label), `subgroup_auc`, `bpsn_auc`,
        `bnsp_auc`; with a threshold also `false_positive_rate`, the share of the group's rows without the label that
        are flagged, and `false_positive_gap`, that rate minus the background's.

    Raises:
        ValueError: shapes or row names that do not fit, a value out of range (its row and group are named), no group,
            two of the same name, `min_support` below 1, a threshold outside [0, 1].

    Examples:
        >>> import pandas as pd
        >>> from helpers import evaluation
        >>> texts = pd.Series(["Bakers are fools", "Bakers are kind", "You are fools", "You are kind"])
        >>> bakers = evaluation.mentions(texts, ["bakers"])
        >>> report = evaluation.bias_report([1, 0, 1, 0], [0.9, 0.6, 0.5, 0.1], bakers, min_support=1, threshold=0.5)
        >>> report.T  # harmless rows of bakers score above the toxic ones of others
        group                bakers
        rows                    2.0
        positives               1.0
        subgroup_auc            1.0
        bpsn_auc                0.0
        bnsp_auc                1.0
        false_positive_rate     1.0
        false_positive_gap      1.0
    """
    truth, scores = checked_label(targets, probabilities)
    inside = _checked_groups(groups, len(truth))
    check_same_rows(targets=targets, probabilities=probabilities, groups=groups)
    check_count("min_support", min_support)
    flagged = None if threshold is None else decide(scores, threshold, pd.Index(["threshold"]))
    table = [_scores_of_group(truth, scores, member, min_support, flagged) for member in inside.T]
    return pd.DataFrame(table, index=pd.Index(groups.columns, name="group"))


def bias_score(report: pd.DataFrame, overall_auc: float) -> float:
    """One number for quality and fairness, the final metric of Kaggle's Jigsaw Unintended Bias competition.

    It is a quarter of the overall AUC and a quarter of each power mean over the groups of `subgroup_auc`, `bpsn_auc`
    and `bnsp_auc`, with the power -5 (`scipy.stats.pmean`): one group that is served badly cannot hide behind many that
    are served well. All three means are over the same groups: one for which any of them is NaN is left out, and a
    UserWarning names it.

    Args:
        report: by group, as `bias_report` gives it; other columns do not matter.
        overall_auc: of all rows, whether they are in a group or not, such as `metrics.mean_auc` of the one label.

    Returns:
        From 0 to 1; NaN where no group has all three.

    Raises:
        ValueError: a column is missing, no row, a value or `overall_auc` outside [0, 1].

    Examples:
        >>> import pandas as pd
        >>> from helpers import evaluation
        >>> areas = {"subgroup_auc": [0.9, 0.8], "bpsn_auc": [0.9, 0.5], "bnsp_auc": [0.95, 0.95]}
        >>> report = pd.DataFrame(areas, index=["bakers", "bankers"])
        >>> round(evaluation.bias_score(report, 0.95), 3)
        0.827
    """
    check_table("report (of evaluation.bias_report)", report, AREAS)
    overall_auc = check_number("overall_auc", overall_auc, at_least=0, at_most=1)
    areas = as_numbers("report", report[list(AREAS)])
    refuse_cells("report", areas, (areas < 0) | (areas > 1), "in [0, 1], or NaN", AREAS)
    scored = ~np.isnan(areas).any(axis=1)
    if not scored.all():
        left_out = f"bias_score leaves out {report.index[~scored].tolist()}, of which an AUC is NaN"
        warnings.warn(f"{left_out}; groups counted: {scored.sum()}", UserWarning, stacklevel=2)
    if not scored.any():
        return float("nan")
    return float(np.mean([overall_auc, *stats.pmean(areas[scored], POWER)]))


def mentions(texts: Iterable[str], terms: "Mapping[str, str | Sequence[str]] | Sequence[str]") -> pd.DataFrame:
    """Which texts name which groups: the `groups` of `bias_report` for any column of texts.

    A word counts where it stands whole, in capitals or not. Neither a letter (of any script, with its accents), nor a
    digit or underscore may touch it; a hyphen or an apostrophe may. No other form is guessed: list the plural, and
    the spellings that people use. A word may consist of several, with any white space between them. Letters
    that look the same but are stored differently (composed, decomposed, full width) are the same. In scripts without
    spaces (Chinese characters, Hiragana, Thai and others) other letters may touch it.

    A text that names a group need not be about it, and one that is about it need not name it.

    Args:
        texts: (N,), a Series or list.
        terms: words by name of group; or a list of words, each a group of its own.

    Returns:
        (N, G) of bool, one column per group; the rows are named as those of a Series.

    Raises:
        ValueError: texts as in `text.as_texts`, no group, a group twice or without words, an empty word.

    Examples:
        >>> from helpers import evaluation
        >>> texts = ["A baker's life", "BAKERS!", "We bake"]
        >>> evaluation.mentions(texts, {"bakers": ["baker", "bakers"]})["bakers"].tolist()
        [True, True, False]
    """
    words = _words_by_group(terms)
    rows = texts.index if isinstance(texts, pd.Series) else None
    folded = [_folded(text) for text in as_texts(texts)]
    result = {group: _mentioned(folded, spellings) for group, spellings in words.items()}
    return pd.DataFrame(result, index=rows, dtype=bool).rename_axis(columns="group")


def _checked_groups(groups: pd.DataFrame, rows: int) -> np.ndarray:
    """(N, G) of 1, 0 and NaN."""
    check_table("groups", groups)
    check_names("columns of groups", groups.columns)
    if len(groups) != rows:
        raise ValueError(f"groups {groups.shape} must be ({rows}, G), one row per target")
    inside = as_numbers("groups", groups)
    bad = ~np.isin(inside, (0, 1)) & ~np.isnan(inside)
    refuse_cells("groups", inside, bad, "0, 1, a bool or NaN (unknown)", list(groups.columns))
    return inside


def _scores_of_group(
    truth: np.ndarray, scores: np.ndarray, inside: np.ndarray, min_support: int, flagged: np.ndarray | None
) -> dict[Hashable, float]:
    """One row of the report; all arrays (N,)."""
    positive, negative, member, background = truth == 1, truth == 0, inside == 1, inside == 0
    pairs = [
        (member & positive, member & negative),
        (background & positive, member & negative),
        (member & positive, background & negative),
    ]
    targets = np.column_stack([np.select(pair, [1.0, 0.0], np.nan) for pair in pairs])
    enough = np.minimum((targets == 1).sum(axis=0), (targets == 0).sum(axis=0)) >= min_support
    areas = auc_by_label(targets, np.column_stack([scores] * 3), labels=AREAS).where(enough)
    known = member & (positive | negative)
    result: dict[Hashable, float] = {
        "rows": int(known.sum()),
        "positives": int((member & positive).sum()),
        **areas.to_dict(),
    }
    if flagged is not None:
        harmless = (member & negative, background & negative)
        rate, elsewhere = (flagged[rows].mean() if rows.sum() >= min_support else np.nan for rows in harmless)
        result |= {"false_positive_rate": rate, "false_positive_gap": rate - elsewhere}
    return result


def _words_by_group(terms: "Mapping[str, str | Sequence[str]] | Sequence[str]") -> dict[str, list[str]]:
    """Folded words by group."""
    if not isinstance(terms, Mapping):
        terms = {word: [word] for word in check_names("terms", terms)}
    result = {}
    for group, words in check_mapping("terms", terms, keys="group").items():
        listed = [words] if isinstance(words, str) else check_list(f"terms[{group!r}]", words, "words")
        if not listed or not all(isinstance(word, str) and word.strip() for word in listed):
            raise ValueError(f"terms: group {group!r} has {listed}; give it at least one word, and none that is empty")
        result[group] = [_folded(word) for word in listed]
    return result


def _folded(text: str) -> str:
    """One form for all that is read as the same: case, composed or not, white space."""
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).split())


def _mentioned(folded: list[str], words: list[str]) -> list[bool]:
    # Most texts hold none of the words in any form, which `in` finds out much faster than a pattern.
    sign = rf"[\w--{UNSPACED}]"  # where no spaces are written, a word has no boundaries that a pattern could see
    whole = regex.compile(rf"(?<!{sign})(?:{'|'.join(map(regex.escape, words))})(?!{sign})", regex.V1)
    return [any(word in text for word in words) and whole.search(text) is not None for text in folded]
