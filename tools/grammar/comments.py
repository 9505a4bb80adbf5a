"""The bundled comments: 8,000 authored comments in the Jigsaw schema, the same on every machine.

`make` plans the labels first (how often each combination occurs follows the real data, doubled), then writes a text for
each, then adds what real data has: labels that are wrong, and comments that were posted twice.
"""

import hashlib
import re

import pandas as pd

from .comments_acts import Labels
from .comments_compose import Composer
from .comments_lexicon import Lexicon

COLUMNS = ("toxic", "severe_toxic", "obscene", "threat", "insult", "identity_hate")
ROWS = 8000
CLEAN: Labels = (0, 0, 0, 0, 0, 0)

# Rows of each label combination, in the order of COLUMNS: twice its share of the real training data.
JOINT: dict[Labels, int] = {
    (1, 0, 0, 0, 0, 0): 566, (1, 0, 1, 0, 1, 0): 365, (1, 0, 1, 0, 0, 0): 171, (1, 0, 0, 0, 1, 0): 133,
    (1, 1, 1, 0, 1, 0): 106, (1, 0, 1, 0, 1, 1): 70, (0, 0, 1, 0, 0, 0): 29, (0, 0, 0, 0, 1, 0): 29,
    (1, 1, 1, 0, 1, 1): 20, (0, 0, 1, 0, 1, 0): 19, (1, 1, 1, 0, 0, 0): 18, (1, 0, 0, 0, 1, 1): 15,
    (1, 0, 0, 1, 0, 0): 14, (1, 1, 1, 1, 1, 0): 10, (1, 0, 1, 1, 1, 0): 9, (1, 0, 0, 0, 0, 1): 8,
    (1, 0, 1, 1, 1, 1): 6, (1, 1, 1, 1, 1, 1): 5, (1, 1, 0, 0, 0, 0): 4, (1, 0, 1, 1, 0, 0): 4,
    (0, 0, 0, 0, 1, 1): 4, (0, 0, 0, 0, 0, 1): 3, (0, 0, 1, 0, 1, 1): 3, (1, 0, 1, 0, 0, 1): 3,
    (1, 0, 0, 1, 1, 0): 2, (0, 0, 1, 1, 0, 0): 1, (0, 0, 0, 1, 0, 0): 1, (1, 1, 0, 0, 0, 1): 1,
    (1, 1, 0, 0, 1, 0): 1, (1, 1, 0, 0, 1, 1): 1, (1, 1, 1, 0, 0, 1): 1, (1, 1, 1, 1, 0, 0): 1,
}  # fmt: skip
MISREAD = 8  # pairs of a clean and a labelled comment whose labels are exchanged
CONFUSED = 8  # pairs of labelled comments whose labels are exchanged
GROUPS = (2,) * 24 + (3,) * 6  # sizes of the groups of comments posted more than once
DISPUTED = 8  # of these groups, how many carry different labels
SIMILAR = 0.7  # word-3-gram Jaccard above which a fresh comment is written again


def shingles(text: str) -> set[tuple[str, ...]]:
    """Word 3-grams of a text in lower case; a shorter text is one shingle."""
    tokens = re.findall(r"\w+", text.lower())
    return {tuple(tokens[i : i + 3]) for i in range(max(1, len(tokens) - 2))}


class Seen:
    """Texts so far, to ask whether a new one is nearly one of them.

    Two sets with Jaccard above t share a member of the first (1 - t) of each, in any fixed order (prefix filtering,
    Bayardo et al. 2007), so only those are indexed; long words come first here, since they are rare.
    """

    def __init__(self) -> None:
        self.sets: list[set[tuple[str, ...]]] = []
        self.index: dict[tuple[str, ...], list[int]] = {}

    def add(self, text: str) -> bool:
        """True and remembered when no earlier text is similar, else False."""
        new = shingles(text)
        order = sorted(new, key=lambda gram: (-len("".join(gram)), gram))
        prefix = order[: int(len(order) * (1 - SIMILAR)) + 1]
        for other in {i for gram in prefix for i in self.index.get(gram, ())}:
            common = len(new & self.sets[other])
            if common > SIMILAR * (len(new) + len(self.sets[other]) - common):
                return False
        for gram in prefix:
            self.index.setdefault(gram, []).append(len(self.sets))
        self.sets.append(new)
        return True


def shuffled(lexicon: Lexicon) -> list[int]:
    """The row numbers in random order (Fisher and Yates)."""
    order = list(range(ROWS))
    for i in range(ROWS - 1, 0, -1):
        j = lexicon.below(i + 1)
        order[i], order[j] = order[j], order[i]
    return order


def plan(lexicon: Lexicon) -> tuple[list[Labels], list[Labels]]:
    """For each row the labels it carries and the labels its text deserves; they differ where the rater erred."""
    labels = [combination for combination, count in JOINT.items() for _ in range(count)]
    labels += [CLEAN] * (ROWS - len(labels))
    labels = [labels[i] for i in shuffled(lexicon)]
    deserved = list(labels)
    rude = [i for i in range(ROWS) if labels[i] != CLEAN]
    clean = [i for i in range(ROWS) if labels[i] == CLEAN]
    for a, b in zip(rude[:MISREAD], clean[:MISREAD], strict=True):
        deserved[a], deserved[b] = labels[b], labels[a]
    rest = rude[MISREAD : MISREAD + 2 * CONFUSED]
    for a, b in zip(rest[::2], rest[1::2], strict=True):
        deserved[a], deserved[b] = labels[b], labels[a]
    return labels, deserved


def one_word_changed(text: str, lexicon: Lexicon) -> str:
    """The text with one of its longer words replaced."""
    spots = [match.span() for match in re.finditer(r"\b[a-z]{4,}\b", text)]
    if not spots:
        return text
    start, end = spots[lexicon.below(len(spots))]
    return text[:start] + lexicon.expand("{gadj}") + text[end:]


def repost(texts: list[str], deserved: list[Labels], lexicon: Lexicon) -> None:
    """Overwrite some texts with copies of others, in place: half of them word for word, half with one word changed."""
    usual = {CLEAN} | {combination for combination, count in JOINT.items() if count > 60}
    sources = [i for i, text in enumerate(texts) if 190 < len(text) < 700 and deserved[i] in usual]
    free = [i for i, text in enumerate(texts) if len(text) < 500]
    used: set[int] = set()
    for number, size in enumerate(GROUPS):
        rude = number % 2 == 0
        source = next(i for i in sources if i not in used and (deserved[i] != CLEAN) == rude)
        used.add(source)
        for copy in range(size - 1):
            odd = number < DISPUTED and copy == 0
            spare = next(
                i for i in reversed(free)
                if i not in used and ((deserved[i] == CLEAN) == rude if odd else deserved[i] == deserved[source])
            )  # fmt: skip
            used.add(spare)
            texts[spare] = texts[source] if number % 4 < 2 else one_word_changed(texts[source], lexicon)


def make(seed: int = 5) -> pd.DataFrame:
    """Write the comments.

    Args:
        seed: start of the random stream; the bundled file uses the default.

    Returns:
        8,000 rows: `id` (16 hex digits), `comment_text`, and six 0/1 columns of int64.
    """
    lexicon = Lexicon.of_comments(seed)
    composer, seen = Composer(lexicon), Seen()
    labels, deserved = plan(lexicon)
    texts = []
    for wanted in deserved:
        text = composer.comment(wanted)
        while not seen.add(text):
            text = composer.comment(wanted)
        texts.append(text)
    repost(texts, deserved, lexicon)
    order = shuffled(lexicon)  # wrong labels were planned at the top, copies at both ends
    texts, labels = [texts[i] for i in order], [labels[i] for i in order]
    ids = [hashlib.sha256(f"{seed}:{row}".encode()).hexdigest()[:16] for row in range(ROWS)]
    columns = {"id": ids, "comment_text": texts}
    columns |= {name: [row[i] for row in labels] for i, name in enumerate(COLUMNS)}
    return pd.DataFrame(columns)
