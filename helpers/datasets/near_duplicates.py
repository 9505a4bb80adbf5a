"""Rows that say the same: exact duplicates by their words, near-duplicates by MinHash and an exact check."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import DisjointSet

from helpers.arguments import check_count, check_number
from helpers.datasets.reading import DataError
from helpers.text import as_texts, tokens

_SIGNATURE = 128
_MIXERS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], dtype=np.uint64)
_CHUNK = 5000
_MAX_CANDIDATES = 2_000_000


def duplicate_groups(texts: Iterable[str]) -> np.ndarray:
    """Group rows whose tokens (`text.tokens`) are the same, whatever their case, spacing and punctuation.

    A text without any token (only signs) is compared as it stands.

    Args:
        texts: N texts.

    Returns:
        (N,) group numbers from 0, in order of first appearance.

    Raises:
        ValueError: texts as in `text.as_texts`.

    Examples:
        >>> from helpers import datasets
        >>> datasets.duplicate_groups(["Go away!", "go  AWAY", "Stay."]).tolist()
        [0, 0, 1]
    """
    return pd.factorize(np.array(_keys(texts), dtype=object))[0]


def near_duplicate_pairs(texts: Iterable[str], *, threshold: float = 0.8, seed: int = 0) -> pd.DataFrame:
    """Pairs of texts whose sets of token 3-grams have a Jaccard similarity above the threshold.

    Candidates come from MinHash signatures in bands (Broder 1997; library: rensa), which find a pair at the threshold
    with a probability above 0.999; each candidate is then checked exactly, so no pair is reported wrongly. Of texts
    that share all their tokens only the first is compared.

    Args:
        texts: N texts.
        threshold: Jaccard similarity from 0.5 to below 1.
        seed: of the signatures.

    Returns:
        `first`, `second` (row positions, first < second) and `jaccard`, most similar first.

    Raises:
        ValueError: texts as in `text.as_texts`, or the threshold is out of range.
        DataError: the texts follow a template, so that millions of pairs are similar.

    Examples:
        >>> from helpers import datasets
        >>> texts = ["the cat sat on the mat all day long", "the cat sat on the mat all day", "a dog barked"]
        >>> datasets.near_duplicate_pairs(texts, threshold=0.7).round(2)
           first  second  jaccard
        0      0       1     0.86
    """
    threshold, seed = _checked(threshold, seed)
    keys = _keys(texts)
    rows = _first_rows(pd.factorize(np.array(keys, dtype=object))[0])
    distinct = [keys[row] for row in rows]
    candidates: set[tuple[int, int]] = set()
    for bucket in _buckets(_signatures(distinct, seed), threshold):
        candidates.update((i, j) for index, i in enumerate(bucket) for j in bucket[index + 1 :])
        if len(candidates) > _MAX_CANDIDATES:
            raise DataError(
                f"more than {_MAX_CANDIDATES:,} pairs may be similar: the texts follow a template. "
                "near_duplicate_groups finds the groups without listing the pairs"
            )
    shingles = _Shingles(distinct)
    result = [(rows[i], rows[j], shingles.jaccard(i, j)) for i, j in candidates]
    table = pd.DataFrame([row for row in result if row[2] > threshold], columns=["first", "second", "jaccard"])
    table = table.astype({"first": int, "second": int, "jaccard": float})
    return table.sort_values(["jaccard", "first", "second"], ascending=[False, True, True], ignore_index=True)


def near_duplicate_groups(texts: Iterable[str], *, threshold: float = 0.8, seed: int = 0) -> np.ndarray:
    """Group rows that are linked by duplicates and near-duplicates, also over several steps.

    Args:
        texts: N texts.
        threshold: as in `near_duplicate_pairs`.
        seed: as in `near_duplicate_pairs`.

    Returns:
        (N,) group numbers from 0, in order of first appearance.

    Raises:
        ValueError: texts as in `text.as_texts`, or the threshold is out of range.

    Examples:
        >>> from helpers import datasets
        >>> texts = ["the cat sat on the mat all day long", "the cat sat on the mat all day", "a dog barked"]
        >>> datasets.near_duplicate_groups(texts, threshold=0.7).tolist()
        [0, 0, 1]
    """
    threshold, seed = _checked(threshold, seed)
    keys = _keys(texts)
    same = pd.factorize(np.array(keys, dtype=object))[0]
    distinct = [keys[row] for row in _first_rows(same)]
    groups, shingles = DisjointSet(range(len(distinct))), _Shingles(distinct)
    signatures = _signatures(distinct, seed)
    for bucket in _buckets(signatures, threshold):
        _link(np.array(bucket), groups, signatures, shingles, threshold)
    return pd.factorize(np.array([groups[group] for group in same], dtype=int))[0]


def _checked(threshold: float, seed: int) -> tuple[float, int]:
    return check_number("threshold", threshold, at_least=0.5, below=1), check_count(
        "seed", seed, at_least=0, at_most=2**64 - 1
    )


class _Shingles:
    """Sets of token 3-grams of texts, made when first asked for."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        self._sets: dict[int, set[str]] = {}

    def of(self, number: int) -> set[str]:
        if number not in self._sets:
            self._sets[number] = _shingles(self._texts[number])
        return self._sets[number]

    def jaccard(self, i: int, j: int) -> float:
        a, b = self.of(i), self.of(j)
        shared = len(a & b)
        return shared / (len(a) + len(b) - shared)


def _keys(texts: Iterable[str]) -> list[str]:
    """The tokens of each text, joined by spaces."""
    return [" ".join(tokens(each)) or each.strip() for each in as_texts(texts)]


def _shingles(key: str) -> set[str]:
    words = key.split(" ")
    return {" ".join(words[i : i + 3]) for i in range(max(1, len(words) - 2))}


def _first_rows(groups: np.ndarray) -> np.ndarray:
    return np.unique(groups, return_index=True)[1] if len(groups) else groups


def _signatures(texts: Sequence[str], seed: int) -> np.ndarray:
    """MinHash signatures, (N, 128) uint64."""
    from rensa import RMinHash

    chunks = [np.zeros((0, _SIGNATURE), dtype=np.uint64)]
    for start in range(0, len(texts), _CHUNK):
        shingles = [[*_shingles(text)] for text in texts[start : start + _CHUNK]]
        chunks.append(np.array(RMinHash.digests_from_token_sets(shingles, _SIGNATURE, seed), dtype=np.uint64))
    return np.concatenate(chunks)


def _buckets(signatures: np.ndarray, threshold: float) -> Iterator[list[int]]:
    """Texts that agree in a band of their signatures, two or more at a time, in ascending order."""
    width = 4 if threshold >= 0.7 else 2
    seen: set[tuple[int, ...]] = set()
    for start in range(0, _SIGNATURE, width):
        bands = signatures[:, start : start + width] @ _MIXERS[:width]
        _, bucket, sizes = np.unique(bands, return_inverse=True, return_counts=True)
        order = np.argsort(bucket, kind="stable")
        ends = np.cumsum(sizes)
        for number in np.flatnonzero(sizes > 1):
            members = tuple(order[ends[number] - sizes[number] : ends[number]].tolist())
            if members not in seen:
                seen.add(members)
                yield list(members)


def _link(
    bucket: np.ndarray, groups: DisjointSet, signatures: np.ndarray, shingles: _Shingles, threshold: float
) -> None:
    """Merge the groups of similar texts of a bucket.

    Pairs whose signatures agree in far fewer places than the threshold (four standard deviations) are not compared;
    while all texts so far are in one group, a text that is similar to the first needs no other.
    """
    least = threshold - 4 * (threshold * (1 - threshold) / _SIGNATURE) ** 0.5
    first, all_linked = bucket[0], True
    for index, text in enumerate(bucket[1:], start=1):
        if all_linked and (groups.connected(first, text) or shingles.jaccard(first, text) > threshold):
            groups.merge(first, text)
            continue
        agree = (signatures[bucket[:index]] == signatures[text]).mean(axis=1)
        for other in bucket[:index][agree >= least]:
            if not groups.connected(other, text) and shingles.jaccard(other, text) > threshold:
                groups.merge(other, text)
        all_linked = all_linked and groups.connected(first, text)
