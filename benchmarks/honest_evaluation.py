"""Thresholds, calibration, intervals and the blend of two models, on real comments.

    python benchmarks/honest_evaluation.py --data FOLDER [--tagger RUNS/cycle2] [--only ID ...]

The tagger is one of `bert_jigsaw.py --folder RUNS` (name `RUNS/cycle2`); the bag of words is the one that
bag_of_words.py chose and recorded. Rows are those of both: 5,000 validation rows choose, the 5,000 test rows are scored
once.

- `jigsaw.blend_auc`: mean AUC of the average of both models' logits, whose shares the validation rows chose among 21,
  with the intervals of the paired differences to each. As in bert_jigsaw.py the bag of words learns from the validation
  rows too before it reads the test rows; `same_rows` is the blend with one that has learnt from the tagger's train rows
  alone. The test rows are not quite untouched: bert_jigsaw.py had scored a plain average on them before.
- `eval.threshold_gain`: macro F1 of the blend on the test rows with a threshold for each label from the validation
  rows, less that at 0.5, with the interval of a paired bootstrap. Here and below the bag of words has learnt from the
  train rows alone: what it says of rows that it knows would tune nothing. `claimed` is what thresholds tuned on the
  test rows themselves would have claimed.
- `eval.calibration_ratio`: calibration error (15 bins, mean over labels) of the blend after calibration over that
  before, on the test rows. The validation rows choose the method by the Brier score of five folds, and fit it. Beside
  it the interval of the paired difference; the same with bins of equally many rows and without bins (`mass_...`,
  `miscalibration_...`); and `floor`, the error in bins that these probabilities would have if they were true.
- `eval.identity_bias`: the lowest BPSN AUC of a group among the identity templates (COURSE_DATA/identity, 8,000 drawn
  of them), for the blend; `..._median` is the median over all groups, of which none is named.
- `eval.threshold_seconds`: exact search of the best F1 for 160,000 rows and six labels, median of five.
- `eval.bootstrap_ratio`: 1,000 paired resamples of the difference in mean AUC, 5,000 rows and six labels: a loop over
  scikit-learn's `roc_auc_score` over `evaluation.bootstrap`, by turns. Other intervals than the loop's are an error.
"""

import argparse
import hashlib
import statistics
import sys
import time
import warnings
from functools import cache
from pathlib import Path

import bag_of_words
import numpy as np
import pandas as pd
from _record import data_option, load, record, use_data
from export import tagger_from
from scipy.special import expit
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import KFold

from helpers import datasets, evaluation, loaders, loops, metrics, models, text
from helpers.evaluation.calibration import Calibration
from helpers.evaluation.intervals import resample_weights

COMMAND = "python benchmarks/honest_evaluation.py --data FOLDER --tagger RUNS/cycle2"
LABELS = bag_of_words.LABELS
READ = ("valid", "test", "identity")
TOKENS, SENTENCES = 128, 8_000
METHODS = ("temperature", "platt", "isotonic")
TEST = "Jigsaw train.csv, test rows 10,000-14,999; shares, thresholds and calibration from rows 5,000-9,999"


@cache
def rows() -> dict[str, pd.DataFrame]:
    """The rows of the protocol by role, `known` (all but the test rows), and `identity` (sentences) if found."""
    every = bag_of_words.protocol_rows()
    parts = {role: every[every["role"] == role].reset_index(drop=True) for role in ("train", "valid", "test")}
    parts["known"] = every[every["role"] != "test"]
    try:
        sentences = datasets.load_templates("identity").sample(SENTENCES, random_state=0).reset_index(drop=True)
    except FileNotFoundError:
        return parts
    return parts | {"identity": sentences.assign(cleaned=sentences["comment_text"].map(text.clean_text))}


@cache
def logits(tagger: str) -> dict[str, dict[str, np.ndarray]]:
    """Logits (N, L) by model and part: of the tagger (`bert`), and of the bag of words after the train rows (`bag`).

    `all` is the bag of words after all known rows, and knows the validation rows: it has the test rows only. The parts
    are valid, test, and, where they are there, identity templates. All is kept in the tagger's folder, since it takes
    minutes, under a name that tells the tagger's weights, the bag of words and the rows.
    """
    name, parts = winner(), rows()
    told = hashlib.sha256(Path(tagger, "last.pt").read_bytes() + name.encode())
    for part in ("train", *read_parts()):
        told.update(pd.util.hash_pandas_object(parts[part]["comment_text"], index=False).to_numpy().tobytes())
    kept = Path(tagger, f"logits-{told.hexdigest()[:16]}.npz")
    if not kept.is_file():
        partial = kept.with_suffix(".part.npz")
        np.savez(partial, **read_all(tagger, name))
        partial.replace(kept)
    with np.load(kept) as arrays:
        probabilities: dict[str, dict[str, np.ndarray]] = {"bert": {}, "bag": {}, "all": {}}
        for key in arrays.files:
            model, part = key.split("_")
            probabilities[model][part] = arrays[key]
        return probabilities


def read_parts() -> list[str]:
    """The parts that the models read."""
    return [part for part in READ if part in rows()]


def winner() -> str:
    """The bag of words that bag_of_words.py chose."""
    recorded = [entry["details"]["winner"] for entry in load() if entry["id"] == "jigsaw.bow_auc"]
    if not recorded or recorded[-1] not in bag_of_words.linear_models():
        sys.exit("benchmarks/bag_of_words.py has recorded no single winner: run it first")
    return recorded[-1]


def read_all(tagger: str, name: str) -> dict[str, np.ndarray]:
    """Logits by model and part, as `bert_valid`."""
    parts, logits_of = rows(), {}
    model, tokenizer = tagger_from(tagger, len(LABELS)), models.load_encoder().tokenizer
    line = bag_of_words.linear_models()[name].fit(parts["train"], parts["train"][LABELS].to_numpy())
    for part in read_parts():
        tokens = loaders.tokenize(parts[part]["comment_text"], tokenizer, max_length=TOKENS)
        logits_of[f"bert_{part}"] = loops.logits(model, loaders.token_loader(tokens, batch_size=8))
        logits_of[f"bag_{part}"] = line.decision_function(parts[part])
    return logits_of | {"all_test": bag_of_words.fitted_logits([name], parts["known"], parts["test"])[name]}


def mixed(said: dict[str, dict[str, np.ndarray]], part: str, share: float, bag: str = "bag") -> pd.DataFrame:
    """Probabilities (N, L) of the weighted mean of both models' logits."""
    return pd.DataFrame(expit(share * said["bert"][part] + (1 - share) * said[bag][part]), columns=LABELS)


def chosen_share(said: dict[str, dict[str, np.ndarray]]) -> tuple[float, dict[str, float]]:
    """The tagger's share with the highest mean AUC on the validation rows, and that AUC beside those of each alone."""
    truth = rows()["valid"][LABELS]
    by_share = {share: metrics.mean_auc(truth, mixed(said, "valid", share)) for share in np.linspace(0, 1, 21)}
    best = max(by_share, key=lambda share: by_share[share])
    return float(best), {"valid_blend": by_share[best], "valid_bert": by_share[1.0], "valid_bag": by_share[0.0]}


def measure_blend(tagger: str) -> None:
    """Is the average of both better than either?"""
    probabilities, truth = logits(tagger), rows()["test"][LABELS]
    share, details = chosen_share(probabilities)
    ways = {"blend": share, "bert": 1.0, "bag": 0.0, "plain_average": 0.5}
    mixtures = {name: mixed(probabilities, "test", part, bag="all") for name, part in ways.items()}
    own = evaluation.bootstrap("auc", truth, mixtures["blend"]).loc["mean"]
    details |= {"share_of_bert": share, "low": own["low"], "high": own["high"]}
    mixtures["same_rows"] = mixed(probabilities, "test", share)
    for name in ("bert", "bag", "plain_average", "same_rows"):
        details[name] = metrics.mean_auc(truth, mixtures[name])
    for one, other in (("blend", "bert"), ("blend", "bag"), ("same_rows", "bert")):
        difference = evaluation.bootstrap("auc", truth, mixtures[one], baseline=mixtures[other]).loc["mean"]
        details |= {f"{one}_over_{other}_{end}": difference[end] for end in ("value", "low", "high")}
    asked = "above both, with paired intervals; aim 0.993"
    write("jigsaw.blend_auc", own["value"], unit="", asked=asked, data=TEST, **details)


def measure_threshold_gain(tagger: str) -> None:
    """What a threshold for each label is worth on rows that did not choose it."""
    probabilities, parts = logits(tagger), rows()
    share, _ = chosen_share(probabilities)
    here, there = (mixed(probabilities, part, share) for part in ("valid", "test"))
    truth, ids = parts["test"][LABELS], {part: parts[part]["id"] for part in ("valid", "test")}
    options = {"ids": ids["valid"], "test_targets": truth, "test_probabilities": there, "test_ids": ids["test"]}
    tuned = evaluation.tune_thresholds(parts["valid"][LABELS], here, **options)
    cuts = {"threshold": tuned["threshold"], "baseline_threshold": 0.5}
    gain = evaluation.bootstrap("f1", truth, there, baseline=there, **cuts).loc["mean"]
    details = {end: gain[end] for end in ("low", "high")}
    details |= {"at_half": tuned["test_at_half"].mean(), "tuned": tuned["test"].mean()}
    details["claimed"] = evaluation.tune_thresholds(truth, there)["valid"].mean()
    details |= {f"{name}_threshold": value for name, value in tuned["threshold"].items()}
    asked = "a gain, with a paired interval"
    write("eval.threshold_gain", gain["value"], unit="macro F1", asked=asked, data=TEST, **details)


def measure_calibration(tagger: str) -> None:
    """How much of the calibration error is left."""
    probabilities, parts = logits(tagger), rows()
    share, _ = chosen_share(probabilities)
    known, truth = parts["valid"][LABELS], parts["test"][LABELS]
    details: dict[str, float | str] = {}
    for name, part in {"blend": share, "bert": 1.0, "bag": 0.0}.items():
        here, there = mixed(probabilities, "valid", part), mixed(probabilities, "test", part)
        method = min(METHODS, key=lambda one: held_out_brier(known, here, one))
        fitted = quietly_fitted(known, here, method, ids=parts["valid"]["id"])
        after = fitted.apply(there, ids=parts["test"]["id"])
        errors = [evaluation.calibration_error(truth, p).mean() for p in (there, after)]
        details |= {f"{name}_method": method, f"{name}_before": errors[0], f"{name}_after": errors[1]}
        details |= {f"{name}_ratio": errors[1] / errors[0]}
        if name == "blend":
            details |= other_errors(truth, there, after)
    write("eval.calibration_ratio", details["blend_ratio"], unit="", asked="<= 0.5", data=TEST, **details)


def other_errors(truth: pd.DataFrame, before: pd.DataFrame, after: pd.DataFrame) -> dict[str, float]:
    """How far the probabilities are off by other measures, and the interval of what calibration changed."""

    def mean_error(targets: pd.DataFrame, probabilities: pd.DataFrame) -> float:
        return evaluation.calibration_error(targets, probabilities).mean()

    change = evaluation.bootstrap(mean_error, truth, after, baseline=before, n_resamples=300).loc["value"]
    result = {f"change_{end}": change[end] for end in ("value", "low", "high")}
    for name, p in (("before", before), ("after", after)):
        result[f"mass_{name}"] = evaluation.calibration_error(truth, p, strategy="quantile").mean()
        result[f"miscalibration_{name}"] = evaluation.brier(truth, p)["miscalibration"].mean()
    rng = np.random.default_rng(0)
    as_said = ((rng.random(after.shape) < after).astype(int) for _ in range(100))
    return result | {"floor": np.mean([mean_error(drawn_truth, after) for drawn_truth in as_said])}


def quietly_fitted(
    targets: pd.DataFrame, probabilities: pd.DataFrame, method: str, ids: pd.Series | None = None
) -> Calibration:
    """A calibration; a fold without a positive leaves that label as it is."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return evaluation.fit_calibration(targets, probabilities, method=method, ids=ids)


def held_out_brier(targets: pd.DataFrame, probabilities: pd.DataFrame, method: str) -> float:
    """Mean Brier score of five folds of the validation rows, each calibrated by the others."""
    after = probabilities.copy()
    for known, held in KFold(5, shuffle=True, random_state=0).split(targets):
        fitted = quietly_fitted(targets.iloc[known], probabilities.iloc[known], method)
        after.iloc[held] = fitted.apply(probabilities.iloc[held]).to_numpy()
    return evaluation.brier(targets, after)["brier"].mean()


def measure_identity_bias(tagger: str) -> None:
    """Who is flagged for being mentioned?"""
    if "identity" not in rows():
        print("eval.identity_bias needs identity/bias_madlibs_77k.csv.zip beside jigsaw/: left out")
        return
    probabilities, sentences = logits(tagger), rows()["identity"]
    share, _ = chosen_share(probabilities)
    truth, groups = sentences["toxic"], pd.get_dummies(sentences["group"]).astype(bool)
    details: dict[str, float] = {}
    for name, part in {"blend": share, "bert": 1.0, "bag": 0.0}.items():
        toxic = mixed(probabilities, "identity", part)["toxic"]
        report = evaluation.bias_report(truth, toxic, groups)
        overall = float(roc_auc_score(truth, toxic))
        scored = report.dropna()  # occupations have too few sentences among those drawn
        details |= {f"{name}_auc": overall, f"{name}_bias_score": evaluation.bias_score(scored, overall)}
        for area in ("subgroup_auc", "bpsn_auc", "bnsp_auc"):
            details |= {f"{name}_{area}": scored[area].min(), f"{name}_{area}_median": scored[area].median()}
        details["groups"] = len(scored)
    data = f"bias_madlibs_77k, {SENTENCES:,} sentences drawn; models of jigsaw.blend_auc, label toxic"
    write("eval.identity_bias", details["blend_bpsn_auc"], unit="", asked="no figure asked", data=data, **details)


def drawn(n_rows: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Targets at Jigsaw's rates and two models' probabilities, (N, 6) each."""
    rng = np.random.default_rng(0)
    truth = (rng.random((n_rows, 6)) < [0.096, 0.01, 0.053, 0.003, 0.049, 0.009]).astype(float)
    noise = rng.normal(size=(3, n_rows, 6))
    return truth, *(expit(2.5 * truth - 3 + noise[0] + other) for other in noise[1:])


def measure_threshold_seconds(_: str) -> None:
    """Seconds of the exact search."""
    truth, probabilities, _ = drawn(160_000)
    taken = [seconds_of(lambda: evaluation.tune_thresholds(truth, probabilities)) for _ in range(5)]
    details = {"different_cuts": int(np.mean([len(np.unique(column)) for column in probabilities.T]))}
    data = "160,000 rows of six labels drawn at Jigsaw's rates"
    write("eval.threshold_seconds", statistics.median(taken), unit="s", asked="< 1 s", data=data, **details)


def measure_bootstrap_ratio(_: str) -> None:
    """A loop over scikit-learn against sums of weights."""
    truth, one, other = drawn(5_000)
    weights = np.hstack(list(resample_weights(len(truth), 1_000)))

    def loop(columns: range) -> np.ndarray:
        differences = []
        for column in columns:
            again = np.repeat(np.arange(len(truth)), weights[:, column])
            scores = [roc_auc_score(truth[again], model[again], average=None) for model in (one, other)]
            differences.append(np.mean(scores[0] - scores[1]))
        return np.array(differences)

    taken: dict[str, list[float]] = {"loop": [], "ours": []}
    draws = []
    for fifth in range(5):
        start = time.perf_counter()
        draws.append(loop(range(200 * fifth, 200 * (fifth + 1))))
        taken["loop"].append(5 * (time.perf_counter() - start))
        start = time.perf_counter()
        result = evaluation.bootstrap("auc", truth, one, baseline=other).loc["mean"]
        taken["ours"].append(time.perf_counter() - start)
    apart = np.abs(np.quantile(np.concatenate(draws), [0.025, 0.975]) - result[["low", "high"]].to_numpy(dtype=float))
    if apart.max() > 1e-12:
        raise SystemExit(f"the intervals differ by {apart.max()}")
    medians = {name: statistics.median(times) for name, times in taken.items()}
    details = {"loop_s": medians["loop"], "ours_s": medians["ours"], "intervals_apart": float(apart.max())}
    data = "5,000 rows of six labels drawn at Jigsaw's rates"
    ratio = medians["loop"] / medians["ours"]
    write("eval.bootstrap_ratio", ratio, unit="x", asked=">= 20 x, equal results", data=data, **details)


def seconds_of(call: object) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def write(name: str, value: float, **details: object) -> None:
    """Record a figure; its parts are rounded to five digits."""
    rounded = {key: round(float(part), 5) if isinstance(part, float) else part for key, part in details.items()}
    command = COMMAND if name in WITH_TAGGER else "python benchmarks/honest_evaluation.py"
    record(name, float(value), command=f"{command} --only {name}", **rounded)


WITH_TAGGER = {
    "jigsaw.blend_auc": measure_blend,
    "eval.threshold_gain": measure_threshold_gain,
    "eval.calibration_ratio": measure_calibration,
    "eval.identity_bias": measure_identity_bias,
}
FIGURES = WITH_TAGGER | {
    "eval.threshold_seconds": measure_threshold_seconds,
    "eval.bootstrap_ratio": measure_bootstrap_ratio,
}


def main() -> None:
    """Measure all figures, or those named after `--only`; without a tagger, those that need none."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data_option(parser)
    parser.add_argument("--tagger", help="folder of a last.pt that bert_jigsaw.py --folder wrote")
    parser.add_argument("--only", nargs="+", choices=FIGURES, metavar="ID", help=", ".join(FIGURES))
    options = parser.parse_args()
    wanted = options.only or list(FIGURES)
    if not options.tagger and (needed := [name for name in wanted if name in WITH_TAGGER]):
        print(f"{', '.join(needed)}: name a tagger of bert_jigsaw.py --folder RUNS with --tagger RUNS/cycle2")
        wanted = [name for name in wanted if name not in needed]
        if not wanted:
            sys.exit(1)
    elif options.tagger:
        use_data(options.data)
    for name in wanted:
        FIGURES[name](options.tagger)


if __name__ == "__main__":
    main()
