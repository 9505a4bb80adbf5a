"""Does a model judge harmless comments worse because of the group that they name? Scores by group, and their mean.

A model learns from comments in which some groups are named mostly by people who insult them, and may take the name for
the insult. The overall AUC hardly shows it, since few rows name any group.
"""

import unicodedata
import warnings
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import regex

from helpers.arguments import as_numbers, check_count, check_list, check_names, check_number, check_table
from helpers.metrics import auc_by_label
from helpers.metrics.checks import Table, check_same_rows, checked, decide
from helpers.text import UNSPACED, as_texts

AREAS = ("subgroup_auc", "bpsn_auc", "bnsp_auc")


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
    truth, scores = _checked_rows(targets, probabilities)
    inside = _checked_groups(groups, len(truth))
    check_same_rows(targets=targets, probabilities=probabilities, groups=groups)
    check_count("min_support", min_support)
    flagged = None if threshold is None else decide(scores[:, None], threshold, pd.Index(["threshold"]))[:, 0]
    table = [_scores_of_group(truth, scores, member, min_support, flagged) for member in inside.T]
    return pd.DataFrame(table, index=pd.Index(groups.columns, name="group"))


def generalized_mean(values: Table, power: float = -5) -> float:
    """The power mean of numbers: (mean of values ** power) ** (1 / power).

    With power 1 it is the usual mean; the lower the power, the more the lowest values decide. At -5, that of the
    competition, one group that is served badly cannot hide behind many that are served well.

    Source: Hardy, Littlewood and Polya 1934, Inequalities, chapter 2.

    Args:
        values: (K,) of 0 or more; one 0 makes the mean 0 where the power is not above 0.
        power: 0 stands for its limit, the geometric mean, -inf for the lowest value, inf for the highest.

    Raises:
        ValueError: no values, a value that is negative, infinite or NaN, power NaN.

    Examples:
        >>> from helpers import evaluation
        >>> round(evaluation.generalized_mean([0.9, 0.9, 0.5], power=1), 3)
        0.767
        >>> round(evaluation.generalized_mean([0.9, 0.9, 0.5]), 3)
        0.61
    """
    numbers = as_numbers("values", values)
    if numbers.ndim != 1 or not numbers.size:
        raise ValueError(f"values {numbers.shape}: give a row of at least one number")
    if (bad := ~((numbers >= 0) & np.isfinite(numbers))).any():
        index = int(np.argmax(bad))
        raise ValueError(f"values: number {index} (from 0) is {numbers[index]}; each must be 0 or more, and known")
    power = _checked_power(power)
    scale = numbers.max() if power > 0 else numbers.min()  # what decides: no power of the others can overflow
    if scale == 0 or np.isinf(power):
        return float(scale)
    with np.errstate(divide="ignore"):
        logs = np.log(numbers / scale)
    if abs(power) < 1e-15:
        return float(scale * np.exp(logs.mean()))
    return float(scale * np.exp(np.log1p(np.expm1(power * logs).mean()) / power))


def bias_score(report: pd.DataFrame, overall_auc: float, *, power: float = -5) -> float:
    """One number for quality and fairness, the final metric of Kaggle's Jigsaw Unintended Bias competition.

    It is a quarter of the overall AUC and a quarter of each `generalized_mean` over the groups of `subgroup_auc`,
    `bpsn_auc` and `bnsp_auc`. All three means are over the same groups: one for which any of them is NaN is left out,
    and a UserWarning names it.

    Args:
        report: by group, as `bias_report` gives it; other columns do not matter.
        overall_auc: of all rows, whether they are in a group or not, such as `metrics.mean_auc` of the one label.
        power: of the generalized means.

    Returns:
        From 0 to 1; NaN where no group has all three.

    Raises:
        ValueError: a column is missing, no row, a value or `overall_auc` outside [0, 1], power NaN.

    Examples:
        >>> import pandas as pd
        >>> from helpers import evaluation
        >>> areas = {"subgroup_auc": [0.9, 0.8], "bpsn_auc": [0.9, 0.5], "bnsp_auc": [0.95, 0.95]}
        >>> report = pd.DataFrame(areas, index=["bakers", "bankers"])
        >>> round(evaluation.bias_score(report, 0.95), 3)
        0.827
    """
    check_table("report (of evaluation.bias_report)", report, AREAS)
    overall_auc, power = check_number("overall_auc", overall_auc, at_least=0, at_most=1), _checked_power(power)
    areas = pd.DataFrame(as_numbers("report", report[list(AREAS)]), index=report.index, columns=list(AREAS))
    if (bad := areas.lt(0) | areas.gt(1)).any(axis=None):
        row, column = np.argwhere(bad.to_numpy())[0]
        result = areas.iloc[row, column]
        raise ValueError(f"report: {AREAS[column]} of {report.index[row]!r} is {result}; it must lie in [0, 1]")
    scored = areas.notna().all(axis=1)
    if not scored.all():
        left_out = f"bias_score leaves out {report.index[~scored].tolist()}, of which an AUC is NaN"
        warnings.warn(f"{left_out}; groups counted: {scored.sum()}", UserWarning, stacklevel=2)
    if not scored.any():
        return float("nan")
    means = [generalized_mean(areas.loc[scored, name], power) for name in AREAS]
    return float(np.mean([overall_auc, *means]))


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
    table = pd.DataFrame(result, index=rows, dtype=bool)
    return table.rename_axis(columns="group")


def _checked_power(power: float) -> float:
    """A number or one of the two infinities."""
    infinite = isinstance(power, float) and np.isinf(power)
    return power if infinite else check_number("power", power)


def _checked_rows(targets: Table, probabilities: Table) -> tuple[np.ndarray, np.ndarray]:
    truth, scores = as_numbers("targets", targets), as_numbers("probabilities", probabilities)
    if truth.ndim != 1 or truth.shape != scores.shape:
        raise ValueError(f"targets {truth.shape} and probabilities {scores.shape}: both must be (N,), of one label")
    checked(truth[:, None], scores[:, None])
    return truth, scores


def _checked_groups(groups: pd.DataFrame, rows: int) -> np.ndarray:
    """(N, G) of 1, 0 and NaN."""
    if not isinstance(groups, pd.DataFrame):
        raise ValueError(f"groups of type {type(groups).__name__}: give a DataFrame, one column per group")
    if groups.shape[1] == 0 or len(groups) != rows:
        raise ValueError(f"groups {groups.shape} must be ({rows}, G), a row for each target and at least one group")
    if not groups.columns.is_unique:
        raise ValueError(f"groups: {groups.columns[groups.columns.duplicated()].tolist()} appear more than once")
    inside = as_numbers("groups", groups)
    if (bad := ~np.isin(inside, (0, 1)) & ~np.isnan(inside)).any():
        row, column = np.argwhere(bad)[0]
        name, result = groups.columns[column], inside[row, column]
        raise ValueError(f"groups: row {row} (from 0), group {name!r} is {result}; must be 0, 1, a bool or NaN")
    return inside


def _scores_of_group(
    truth: np.ndarray, scores: np.ndarray, inside: np.ndarray, min_support: int, flagged: np.ndarray | None
) -> dict[str, float]:
    """One row of the report; all arrays (N,)."""
    positive, negative, member, background = truth == 1, truth == 0, inside == 1, inside == 0
    pairs = [
        (member & positive, member & negative),
        (background & positive, member & negative),
        (member & positive, background & negative),
    ]
    result: dict[str, float] = {
        "rows": int((member & (positive | negative)).sum()),
        "positives": int((member & positive).sum()),
    }
    result |= {name: _area(scores, *pair, min_support) for name, pair in zip(AREAS, pairs, strict=True)}
    if flagged is not None:
        harmless = (member & negative, background & negative)
        rate, elsewhere = (flagged[rows].mean() if rows.sum() >= min_support else np.nan for rows in harmless)
        result |= {"false_positive_rate": rate, "false_positive_gap": rate - elsewhere}
    return result


def _area(scores: np.ndarray, positive: np.ndarray, negative: np.ndarray, min_support: int) -> float:
    if min(positive.sum(), negative.sum()) < min_support:
        return np.nan
    rows = positive | negative
    return auc_by_label(positive[rows, None], scores[rows, None]).iloc[0]


def _words_by_group(terms: "Mapping[str, str | Sequence[str]] | Sequence[str]") -> dict[str, list[str]]:
    """Folded words by group."""
    if isinstance(terms, str):
        raise ValueError(f"terms={terms!r}: give a list of words, or words by name of group")
    if isinstance(terms, Mapping):
        given = {
            group: [words] if isinstance(words, str) else check_list(f"terms[{group!r}]", words, "words")
            for group, words in terms.items()
        }
    else:
        listed = check_names("terms", terms)
        given = {word: [word] for word in listed}
    if not given:
        raise ValueError("terms: there is no group")
    for group, words in given.items():
        if not words or not all(isinstance(word, str) and word.strip() for word in words):
            raise ValueError(f"terms: group {group!r} has {words}; give it at least one word, and none that is empty")
    return {group: [_folded(word) for word in words] for group, words in given.items()}


def _folded(text: str) -> str:
    """One form for all that is read as the same: case, composed or not, white space."""
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold()).split())


def _mentioned(folded: list[str], words: list[str]) -> list[bool]:
    # Most texts hold none of the words in any form, which `in` finds out much faster than a pattern.
    sign = rf"[\w--{UNSPACED}]"  # where no spaces are written, a word has no boundaries that a pattern could see
    whole = regex.compile(rf"(?<!{sign})(?:{'|'.join(map(regex.escape, words))})(?!{sign})", regex.V1)
    return [any(word in text for word in words) and whole.search(text) is not None for text in folded]
