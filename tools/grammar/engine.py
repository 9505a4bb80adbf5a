"""Expand a text grammar: rules in TOML files, one seeded stream of random numbers, the same text on every machine."""

import random
import re
import tomllib
from bisect import bisect
from collections.abc import Iterable
from itertools import accumulate
from pathlib import Path

SLOT = re.compile(r"\{(\w+)\}")


class Grammar:
    """Rules of the form `symbol = ["text with {other_symbol}", ...]`, expanded at random.

    An alternative is drawn from a bag without replacement; the bag is refilled when it is empty, so every
    alternative is used before one is used twice. Alternatives of a symbol in `zipf` are drawn with replacement, the
    one at position k with weight 1 / (k + its number): the first are common, the last are rare. Only `Random.random()`
    is called, the one method whose values Python promises to keep between versions.

    Args:
        rules: alternatives by symbol.
        seed: start of the random stream.
    """

    def __init__(self, rules: dict[str, list[str]], seed: int) -> None:
        self.rules = rules
        self.random = random.Random(seed).random
        self.zipf: dict[str, int] = {}
        self._bags: dict[str, list[str]] = {}
        self._sums: dict[str, list[float]] = {}

    @classmethod
    def load(cls, paths: Iterable[Path], seed: int) -> "Grammar":
        """Read TOML files into one grammar. Raises ValueError when a symbol is defined twice or never."""
        rules: dict[str, list[str]] = {}
        for path in paths:
            for symbol, alternatives in tomllib.loads(Path(path).read_text(encoding="utf-8")).items():
                if symbol in rules:
                    raise ValueError(f"{path}: symbol '{symbol}' is defined twice")
                rules[symbol] = alternatives
        return cls(rules, seed)

    def below(self, n: int) -> int:
        """A random integer from 0 to n - 1."""
        return int(self.random() * n)

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.random() < probability

    def pick(self, symbol: str) -> str:
        """One alternative of `symbol`, not yet expanded."""
        if symbol in self.zipf:
            if symbol not in self._sums:
                weights = (1 / (k + self.zipf[symbol]) for k in range(1, len(self.rules[symbol]) + 1))
                self._sums[symbol] = list(accumulate(weights))
            sums = self._sums[symbol]
            return self.rules[symbol][bisect(sums, self.random() * sums[-1])]
        bag = self._bags.get(symbol)
        if not bag:
            bag = self._bags[symbol] = list(self.rules[symbol])
        return bag.pop(self.below(len(bag)))

    def expand(self, text: str, **given: str) -> str:
        """Replace every `{symbol}` in `text`, from `given` first, then from the rules, until none is left.

        `{SYMBOL}`, where there is no such rule, is `{symbol}` in capitals.
        """
        while match := SLOT.search(text):
            symbol = match.group(1)
            if symbol.isupper() and symbol not in self.rules:
                value = self.expand(f"{{{symbol.lower()}}}", **given).upper()
            else:
                value = given[symbol] if symbol in given else self.pick(symbol)
            text = text[: match.start()] + value + text[match.end() :]
        return text
