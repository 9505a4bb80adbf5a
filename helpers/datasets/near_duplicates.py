"""Rows that say the same: exact duplicates by their words, near-duplicates by MinHash and an exact check."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import DisjointSet

from helpers.arguments import check_count, check_number
from helpers.text import as_texts, tokens

_SIGNATURE = 128
_MIXERS = np.array([0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0xD6E8FEB86659FD93], dtype=np.uint64)
_CHUNK = 5000


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
        >>> datasets.near_duplicates.duplicate_groups(["Go away!", "go  AWAY", "Stay."]).tolist()
        [0, 0, 1]
    """
    return pd.factorize(np.array(_keys(texts), dtype=object))[0]


def near_duplicate_groups(texts: Iterable[str], *, threshold: float = 0.8, seed: int = 0) -> np.ndarray:
    """Group rows that are linked by duplicates and near-duplicates, also over several steps.

    Two texts are near-duplicates when the Jaccard similarity of their sets of token 3-grams is above the threshold.
    Candidates come from MinHash signatures in bands (Broder 1997; library: rensa), which find a pair at the threshold
    with a probability above 0.999; each candidate is then checked exactly, so no texts are linked wrongly.

    Args:
        texts: N texts.
        threshold: Jaccard similarity from 0.5 to below 1.
        seed: of the signatures.

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
    threshold = check_number("threshold", threshold, at_least=0.5, below=1)
    seed = check_count("seed", seed, at_least=0, at_most=2**64 - 1)
    same, keys = pd.factorize(np.array(_keys(texts), dtype=object))
    distinct: list[str] = keys.tolist()
    shingles = cache(lambda text: _shingles(distinct[text]))  # of most texts they are not asked for again

    def is_similar(one: int, other: int) -> bool:
        shared = len(shingles(one) & shingles(other))
        return bool(shared / (len(shingles(one)) + len(shingles(other)) - shared) > threshold)

    groups, signatures = DisjointSet(range(len(distinct))), _signatures(distinct, seed)
    for bucket in _buckets(signatures, threshold):
        _link(bucket, groups, signatures, threshold, is_similar)
    return pd.factorize(np.array([groups[group] for group in same], dtype=int))[0]


def _keys(texts: Iterable[str]) -> list[str]:
    """The tokens of each text, joined by spaces."""
    return [" ".join(tokens(each)) or each.strip() for each in as_texts(texts)]


def _shingles(key: str) -> set[str]:
    words = key.split(" ")
    return {" ".join(words[i : i + 3]) for i in range(max(1, len(words) - 2))}


def _signatures(texts: Sequence[str], seed: int) -> np.ndarray:
    """MinHash signatures, (N, 128) uint64."""
    from rensa import RMinHash

    chunks = [np.zeros((0, _SIGNATURE), dtype=np.uint64)]
    for start in range(0, len(texts), _CHUNK):
        shingles = [[*_shingles(text)] for text in texts[start : start + _CHUNK]]
        chunks.append(np.array(RMinHash.digests_from_token_sets(shingles, _SIGNATURE, seed), dtype=np.uint64))
    return np.concatenate(chunks)


def _buckets(signatures: np.ndarray, threshold: float) -> Iterator[np.ndarray]:
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
                yield np.array(members)


def _link(
    bucket: np.ndarray,
    groups: DisjointSet,
    signatures: np.ndarray,
    threshold: float,
    is_similar: Callable[[int, int], bool],
) -> None:
    """Merge the groups of similar texts of a bucket.

    Pairs whose signatures agree in far fewer places than the threshold (four standard deviations) are not compared;
    while all texts so far are in one group, a text that is similar to the first needs no other.
    """
    least = threshold - 4 * (threshold * (1 - threshold) / _SIGNATURE) ** 0.5
    first, all_linked = bucket[0], True
    for index, text in enumerate(bucket[1:], start=1):
        if all_linked and (groups.connected(first, text) or is_similar(first, text)):
            groups.merge(first, text)
            continue
        agree = (signatures[bucket[:index]] == signatures[text]).mean(axis=1)
        for other in bucket[:index][agree >= least]:
            if not groups.connected(other, text) and is_similar(other, text):
                groups.merge(other, text)
        all_linked = all_linked and groups.connected(first, text)
