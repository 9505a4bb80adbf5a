import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings, strategies as st

from helpers import datasets

LABELS = list(datasets.loading.JIGSAW_LABELS)


def table(positives: np.ndarray, texts=None) -> pd.DataFrame:
    names = [f"label_{i}" for i in range(positives.shape[1])]
    frame = pd.DataFrame(positives.astype(np.int8), columns=names)
    frame.insert(0, "comment_text", texts if texts is not None else [f"text {i}" for i in range(len(frame))])
    frame.insert(0, "id", [str(i) for i in range(len(frame))])
    return datasets.as_comments(frame, labels=names)


def assert_partition(parts: datasets.splitting.Split, frame: pd.DataFrame):
    ids = [row for part in parts for row in part["id"]]
    assert len(ids) == len(frame)
    assert set(ids) == set(frame["id"])
    for part in parts:
        assert part["id"].astype(int).is_monotonic_increasing
        assert part.index.tolist() == list(range(len(part)))


def assert_shares(parts: datasets.splitting.Split, frame: pd.DataFrame, shares, tolerance_rare=3.0, tolerance=0.01):
    for label in datasets.label_names(frame):
        count = frame[label].sum()
        allowed = max(tolerance_rare, tolerance * count)
        for part, share in zip(parts, shares, strict=True):
            assert abs(part[label].sum() - share * count) <= allowed, (label, count, part[label].sum(), share)


@given(
    st.integers(0, 2**32 - 1),
    st.integers(1, 9),
    st.sampled_from([(0.8, 0.1, 0.1), (0.6, 0.15, 0.25), (0.9, 0.05, 0.05)]),
)
@example(185886800, 9, (0.6, 0.15, 0.25))  # 215 positives, 2.25 rows off
@settings(max_examples=60, deadline=None)
def test_every_label_keeps_its_share(seed, labels, shares):
    rng = np.random.default_rng(seed)
    rates = rng.choice([0.003, 0.01, 0.05, 0.1, 0.4], labels)
    frame = table(rng.random((2000, labels)) < rates)
    parts = datasets.split(frame, valid=shares[1], test=shares[2], seed=seed)
    assert_partition(parts, frame)
    assert_shares(parts, frame, shares)
    for part, share in zip(parts, shares, strict=True):
        assert abs(len(part) - share * len(frame)) <= 20


def test_hundreds_of_labels_keep_their_shares_too():
    rng = np.random.default_rng(0)
    frame = table(rng.random((4000, 300)) < 0.02)
    parts = datasets.split(frame, valid=0.1, test=0.2)
    assert_shares(parts, frame, (0.7, 0.1, 0.2), tolerance_rare=5)  # at random, 12


def test_the_bundled_comments_keep_their_shares_alone_and_in_groups():
    frame = datasets.load_comments().assign(id=lambda f: np.arange(len(f)).astype(str))
    assert_shares(datasets.split(frame), frame, (0.8, 0.1, 0.1))
    grouped = datasets.split(frame, groups="near-duplicates")
    assert_partition(grouped, frame)
    assert_shares(grouped, frame, (0.8, 0.1, 0.1), tolerance_rare=3, tolerance=0.02)
    groups = datasets.near_duplicate_groups(frame["comment_text"].tolist())
    part_of_row = {row: name for name, part in zip(grouped._fields, grouped, strict=True) for row in part["id"]}
    parts_per_group = pd.Series(frame["id"].map(part_of_row)).groupby(groups).nunique()
    assert parts_per_group.max() == 1
    assert pd.Series(groups).duplicated().any()


def test_the_same_seed_gives_the_same_rows_and_another_seed_others():
    frame = table(np.random.default_rng(0).random((500, 3)) < 0.2)
    first, again, other = (datasets.split(frame, seed=seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first.test, again.test)
    assert set(first.test["id"]) != set(other.test["id"])


def test_every_row_has_the_same_chance_of_each_part():
    frame = table((np.arange(40) % 4 == 0)[:, None])
    in_test = np.zeros(40)
    for seed in range(400):
        in_test[datasets.split(frame, valid=0, test=0.25, seed=seed).test["id"].astype(int)] += 1
    assert in_test.min() > 400 * 0.25 - 5 * np.sqrt(400 * 0.25 * 0.75)
    assert in_test.max() < 400 * 0.25 + 5 * np.sqrt(400 * 0.25 * 0.75)


def test_a_rare_combination_of_labels_draws_a_row_into_no_part():
    """Dealing left-over rows greedily sends them to the small parts up to twice as often as it should."""
    rng = np.random.default_rng(0)
    frame = table(np.vstack([rng.random((60, 7)) < 0.4, np.zeros((140, 7), bool), np.eye(7, dtype=bool)[[0] * 40]]))
    seeds = 150
    inside = {"valid": np.zeros(len(frame)), "test": np.zeros(len(frame))}
    for seed in range(seeds):
        parts = datasets.split(frame, valid=0.1, test=0.2, seed=seed)
        for name, times in inside.items():
            times[getattr(parts, name)["id"].astype(int)] += 1
    alone = ~frame.drop(columns=["id", "comment_text"]).duplicated(keep=False).to_numpy()
    assert alone.sum() > 20
    for share, times in zip((0.1, 0.2), inside.values(), strict=True):
        assert abs(times[alone].mean() / seeds - share) < 0.015
        assert np.abs(times - seeds * share).max() < 5 * np.sqrt(seeds * share * (1 - share))


def test_without_stratification_rare_labels_wander():
    frame = table(np.arange(2000)[:, None] % 100 == 0)
    counts = [datasets.split(frame, seed=s, stratify=False).test["label_0"].sum() for s in range(30)]
    assert np.std(counts) > 0.5
    assert {datasets.split(frame, seed=s).test["label_0"].sum() for s in range(30)} == {2}


def test_groups_of_the_readers_own_stay_together():
    frame = table(np.random.default_rng(0).random((300, 2)) < 0.3)
    authors = np.array([f"author {i % 50}" for i in range(300)])
    parts = datasets.split(frame, valid=0.2, test=0.2, groups=authors)
    seen = [set(authors[part["id"].astype(int)]) for part in parts]
    assert not seen[0] & seen[1] | seen[0] & seen[2] | seen[1] & seen[2]
    assert_shares(parts, frame, (0.6, 0.2, 0.2), tolerance_rare=4)


def test_unknown_labels_count_as_absent():
    frame = table(np.arange(100)[:, None] % 5 == 0).astype({"label_0": np.float32})
    frame.loc[1::5, "label_0"] = np.nan
    assert datasets.split(frame, valid=0.1, test=0.1).test["label_0"].sum() == 2


def test_zero_share_gives_an_empty_part():
    parts = datasets.split(table(np.ones((10, 1))), valid=0, test=0.2)
    assert [len(part) for part in parts] == [8, 0, 2]


@pytest.mark.parametrize(("valid", "test"), [(-0.1, 0.1), (0.5, 0.5), (1.2, 0), ("0.1", 0), (0.1, None)])
def test_shares_out_of_range(valid, test):
    with pytest.raises(ValueError, match=r"expected a number, at least 0|leave no share for train"):
        datasets.split(table(np.ones((10, 1))), valid=valid, test=test)


def test_too_few_rows():
    with pytest.raises(datasets.DataError, match="3 rows leave none for"):
        datasets.split(table(np.ones((3, 1))), valid=0.1, test=0.1)


def test_bad_groups():
    frame = table(np.ones((10, 1)))
    with pytest.raises(datasets.DataError, match="choose 'duplicates', 'near-duplicates' or pass group names"):
        datasets.split(frame, groups="similar")
    with pytest.raises(datasets.DataError, match="groups has 3 group names, the table has 10 rows"):
        datasets.split(frame, groups=[1, 2, 3])


def test_share_table_counts_what_is_there():
    frame = table(np.array([[1, 0], [0, 1], [1, 1], [0, 0]] * 5))
    shown = datasets.label_distribution(datasets.split(frame, valid=0.2, test=0.2))
    assert shown.loc["rows", ["train", "valid", "test"]].tolist() == [12, 4, 4]
    assert shown.loc["label_0", "train %"] == pytest.approx(60)


def test_balance_keeps_every_tagged_row_and_so_many_clean_ones():
    frame = table(np.arange(1000)[:, None] % 10 == 0)
    kept = datasets.downsample_negatives(frame, negatives=150, seed=3)
    assert kept["label_0"].sum() == 100
    assert len(kept) == 250
    assert kept["id"].astype(int).is_monotonic_increasing
    pd.testing.assert_frame_equal(kept, datasets.downsample_negatives(frame, negatives=150, seed=3))
    assert set(kept["id"]) != set(datasets.downsample_negatives(frame, negatives=150, seed=4)["id"])


def test_balance_refuses_what_it_cannot_do():
    frame = table(np.arange(100)[:, None] % 10 == 0)
    with pytest.raises(datasets.DataError, match="negatives=91, and the table has 90 rows without a label"):
        datasets.downsample_negatives(frame, negatives=91)
    with pytest.raises(datasets.DataError, match="no row has a label"):
        datasets.downsample_negatives(frame[frame["label_0"].eq(0)], negatives=1)


def test_dense_labels_keep_their_shares_within_a_row_or_two():
    frame = table(np.random.default_rng(0).random((5000, 30)) < 0.3)
    parts = datasets.split(frame)
    for label in datasets.label_names(frame):
        for part, share in zip(parts, (0.8, 0.1, 0.1), strict=True):
            assert abs(part[label].sum() - share * frame[label].sum()) <= 3
    assert [len(part) for part in parts] == [4000, 500, 500]


def test_exact_duplicates_can_be_kept_together_without_the_near_ones():
    words = "one two three four five six seven eight nine ten eleven twelve"
    texts = [f"{words} {i // 2}" for i in range(200)]
    frame = table(np.zeros((200, 1)), texts)
    parts = datasets.split(frame, valid=0.2, test=0.2, groups="duplicates")
    seen = [set(part["comment_text"]) for part in parts]
    assert not seen[0] & seen[1] and not seen[0] & seen[2] and not seen[1] & seen[2]
    with pytest.raises(datasets.DataError, match="200 rows leave none for"):
        datasets.split(frame, groups="near-duplicates")


def test_a_part_with_a_share_of_zero_gets_no_leftover_rows():
    frame = table(np.random.default_rng(0).random((300, 8)) < 0.5)
    assert len(datasets.split(frame, valid=0, test=0.3).valid) == 0


@pytest.mark.parametrize("groups", [["a", None, "b"], ["a", float("nan"), "b"], pd.Series(["a", pd.NA, "b"])])
def test_missing_group_names_are_refused(groups):
    with pytest.raises(datasets.DataError, match="row 2 without a group name"):
        datasets.split(table(np.ones((3, 1))), groups=groups)


def test_group_names_are_not_turned_into_text():
    frame = table(np.ones((100, 1)))
    parts = datasets.split(frame, valid=0, test=0.5, groups=[1, "1"] * 50)
    assert {len(parts.train), len(parts.test)} == {50}
    with pytest.raises(datasets.DataError, match="a group name cannot be compared"):
        datasets.split(frame, groups=[["a", "b"]] * 100)


def test_unknown_label_columns_are_named():
    with pytest.raises(datasets.DataError, match=r"labels \['rude'\] are no columns: .* 'label_0'"):
        datasets.split(table(np.ones((10, 1))), labels=["rude"])


def test_not_a_number_is_no_share():
    with pytest.raises(ValueError, match="valid=nan: expected a number, at least 0"):
        datasets.split(table(np.ones((10, 1))), valid=float("nan"))
