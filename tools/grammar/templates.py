"""Template sentences for measuring bias: each one filled with every group, as many toxic as harmless ones."""

import hashlib
import tomllib
from itertools import chain
from pathlib import Path

import pandas as pd

RULES = Path(__file__).with_suffix(".toml")


def make() -> pd.DataFrame:
    """Fill the sentences.

    Returns:
        A row a sentence and group, a harmless sentence with all groups, then a toxic one, by turns: `id` (16 hex
        digits), `comment_text`, `toxic` and `identity_hate` (0 or 1; the second where the group itself is insulted),
        `group` (its plural), `template` (the sentence before it was filled).
    """
    rules = tomllib.loads(RULES.read_text(encoding="utf-8"))
    groups = {name: forms for kind in rules["groups"].values() for name, forms in kind.items()}
    harmless = [((0, 0), sentence) for sentence in rules["sentences"]["harmless"]]
    toxic = [((1, 1), sentence) for sentence in rules["sentences"]["against_the_group"]]
    toxic += [((1, 0), sentence) for sentence in rules["sentences"]["against_somebody_else"]]
    rows = [
        (identifier(template, group), fill(template, group, *forms), *labels, group, template)
        for labels, template in chain.from_iterable(zip(harmless, toxic, strict=True))
        for group, forms in groups.items()
    ]
    return pd.DataFrame(rows, columns=["id", "comment_text", "toxic", "identity_hate", "group", "template"])


def identifier(template: str, group: str) -> str:
    """16 hex digits that stay the same when other sentences or groups are added."""
    return hashlib.sha256(f"{template}\n{group}".encode()).hexdigest()[:16]


def fill(template: str, plural: str, singular: str, attributive: str) -> str:
    """The sentence about one group; KeyError for a slot that does not exist."""
    a = f"{'an' if singular[0] in 'AEIOUaeiou' else 'a'} {singular}"
    forms = {"plural": plural, "singular": singular, "attributive": attributive, "a": a}
    return template.format_map(forms | {name.capitalize(): capital(form) for name, form in forms.items()})


def capital(words: str) -> str:
    """The words as they begin a sentence."""
    return words[0].upper() + words[1:]
