"""Rows that say the same: exact duplicates by their words, near-duplicates by MinHash and an exact check."""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from helpers.datasets.reading import DataError

_WORD = re.compile(r"\w+")
_SIGNATURE = 128
_CHUNK = 5000


def duplicate_groups(texts: Sequence[str]) -> np.ndarray:
    """Group rows whose words are the same, whatever their case, spacing and punctuation.

    A text without any word (only signs or emoji) is compared as it stands.

    Args:
        texts: N texts.

    Returns:
        (N,) group numbers from 0, in order of first appearance.
    """
    return pd.factorize(np.array([_key(text) for text in texts], dtype=object))[0]


def near_duplicate_pairs(texts: Sequence[str], *, threshold: float = 0.8, seed: int = 0) -> pd.DataFrame:
    """Pairs of texts whose sets of word 3-grams have a Jaccard similarity above the threshold.

    Candidates come from MinHash signatures in bands (Broder 1997; library: rensa), which find a pair at the threshold
    with a probability above 0.999; each candidate is then checked exactly, so no pair is reported wrongly. Of
    texts that share all their words only the first is compared.

    Args:
        texts: N texts.
        threshold: Jaccard similarity from 0.5 to below 1.
        seed: of the signatures.

    Returns:
        `first`, `second` (row positions, first < second) and `jaccard`, most similar first.

    Raises:
        DataError: the threshold is out of range.
    """
    if not 0.5 <= threshold < 1:
        raise DataError(f"threshold {threshold} is not from 0.5 to below 1")
    texts = list(texts)
    rows = np.unique(duplicate_groups(texts), return_index=True)[1] if texts else np.array([], dtype=int)
    candidates = _candidates([texts[row] for row in rows], threshold, seed)
    shingles = {i: _shingles(texts[rows[i]]) for i in np.unique(candidates)}
    similarity = np.array([_jaccard(shingles[i], shingles[j]) for i, j in candidates.tolist()])
    close = similarity > threshold
    pairs = np.sort(rows[candidates[close]], axis=1)
    table = pd.DataFrame({"first": pairs[:, 0], "second": pairs[:, 1], "jaccard": similarity[close]})
    return table.sort_values(["jaccard", "first", "second"], ascending=[False, True, True], ignore_index=True)


def near_duplicate_groups(texts: Sequence[str], *, threshold: float = 0.8, seed: int = 0) -> np.ndarray:
    """Group rows that are linked by duplicates and near-duplicates, also over several steps.

    Args:
        texts: N texts.
        threshold: as in `near_duplicate_pairs`.
        seed: as in `near_duplicate_pairs`.

    Returns:
        (N,) group numbers from 0, in order of first appearance.
    """
    texts = list(texts)
    pairs = near_duplicate_pairs(texts, threshold=threshold, seed=seed)
    same = duplicate_groups(texts)
    count = int(same.max()) + 1 if texts else 0
    links = (np.ones(len(pairs), dtype=bool), (same[pairs["first"]], same[pairs["second"]]))
    component = connected_components(coo_array(links, shape=(count, count)), directed=False)[1]
    return pd.factorize(component[same])[0]


def _key(text: str) -> str:
    return " ".join(_WORD.findall(text.casefold())) or text.strip()


def _shingles(text: str) -> set[str]:
    words = _key(text).split(" ")
    return {" ".join(words[i : i + 3]) for i in range(max(1, len(words) - 2))}


def _jaccard(a: set[str], b: set[str]) -> float:
    shared = len(a & b)
    return shared / (len(a) + len(b) - shared)


def _candidates(texts: list[str], threshold: float, seed: int) -> np.ndarray:
    """Pairs (P, 2) of positions whose signatures agree in at least one band."""
    from rensa import RMinHash, RMinHashLSH

    signatures = []
    for start in range(0, len(texts), _CHUNK):
        shingles = [list(_shingles(text)) for text in texts[start : start + _CHUNK]]
        signatures += RMinHash.from_token_sets(shingles, _SIGNATURE, seed)
    rows_per_band = 4 if threshold >= 0.7 else 2
    index = RMinHashLSH(threshold, _SIGNATURE, _SIGNATURE // rows_per_band)
    index.insert_many(signatures)
    found = index.query_all(signatures)
    second = np.repeat(np.arange(len(found)), [len(near) for near in found])
    first = np.fromiter((i for near in found for i in near), dtype=int, count=len(second))
    pairs = np.stack([first, second], axis=1)[first < second]
    return np.unique(pairs, axis=0) if len(pairs) else pairs
