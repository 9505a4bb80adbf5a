"""Load the grammar of the comments and set the scene of one comment: its article, its people, its topic's words."""

import re
import tomllib
from pathlib import Path

from .engine import Grammar

HERE = Path(__file__).parent
IRREGULAR = {
    "larva": "larvae", "antenna": "antennae", "pupa": "pupae", "vertex": "vertices", "matrix": "matrices",
    "mycelium": "mycelia", "genus": "genera", "spectrum": "spectra", "subspecies": "subspecies", "axis": "axes",
    "ox": "oxen", "fish": "fish", "thief": "thieves", "diagnosis": "diagnoses", "counterexample": "counterexamples",
}  # fmt: skip
# Rude words that some writers hide from a filter, beside all mild swear words.
HIDDEN = (
    "stupid", "idiot", "idiots", "dumb", "loser", "losers", "jerk", "fool", "pathetic", "shut up", "sucks", "rubbish",
    "liar", "clown", "troll", "coward", "worthless", "useless", "hate", "garbage", "hypocrite", "bully",
)  # fmt: skip
TWICE = re.compile(r"\b([a-z]{3,}(?: \w+)?),? (?:and|but|or|not|rather than|and not) (?:a |an |the )?\1\b")
START = re.compile(r"(?<![A-Z.])([.?!] )([a-z])")
# Symbols drawn by Zipf's law, and how flat: the larger the number, the less the first alternatives are preferred.
ZIPF = {"iw": 15, "iws": 15, "iadj": 12, "swear": 4, "butt": 10, "praise": 12, "padj": 12, "threat": 40, "hate": 30}
COMPOUNDS = 0.1  # share of insult heads that are made up, such as "turnip-brain"
OFTEN = 10  # groups that are named often: the first of the list
CAPITALISED = ("gadj", "gnoun")


def plural(noun: str) -> str:
    """Plural of an English noun or noun phrase, by rule, with a short list of exceptions."""
    if " of " in noun:
        head, rest = noun.split(" of ", 1)
        return f"{plural(head)} of {rest}"
    front, _, last = noun.rpartition(" ")
    if last in IRREGULAR:
        last = IRREGULAR[last]
    elif last.endswith("y") and last[-2] not in "aeiou":
        last = last[:-1] + "ies"
    elif last.endswith(("s", "x", "z", "ch", "sh")):
        last += "es"
    else:
        last += "s"
    return f"{front} {last}".strip()


def upper_first(text: str) -> str:
    """`text` with its first character in upper case."""
    return text[:1].upper() + text[1:]


def words(text: str) -> list[str]:
    """The parts of a list separated by commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def topic_rules(name: str, topic: dict[str, str]) -> dict[str, list[str]]:
    """Rules of one topic, each symbol prefixed with the topic's name."""
    rules = {kind: words(text) for kind, text in topic.items() if kind != "fact"}
    rules["fact"] = [line.strip() for line in topic["fact"].splitlines() if line.strip()]
    rules["nouns"] = [plural(noun) for noun in rules["noun"]]
    rules["Noun"] = [upper_first(noun) for noun in rules["noun"]]
    rules["Nouns"] = [upper_first(noun) for noun in rules["nouns"]]
    return {f"{name}_{kind}": alternatives for kind, alternatives in rules.items()}


class Lexicon(Grammar):
    """The grammar of the comments; knows the topics, and makes up scenes."""

    def __init__(self, rules: dict[str, list[str]], seed: int) -> None:
        super().__init__(rules, seed)
        self.topics: list[str] = []
        self.rude = re.compile("$^")  # words that a writer may hide from a filter

    @classmethod
    def of_comments(cls, seed: int) -> "Lexicon":
        """Read every `comments_*.toml` of this folder."""
        paths = sorted(HERE.glob("comments_*.toml"))
        lexicon = cls.load([path for path in paths if "topics" not in path.name], seed)
        for path in (path for path in paths if "topics" in path.name):
            for name, topic in tomllib.loads(path.read_text(encoding="utf-8")).items():
                lexicon.topics.append(name)
                lexicon.rules.update(topic_rules(name, topic))
        lexicon.rules["iws"] = [plural(text) for text in lexicon.rules["iw"]]
        lexicon.zipf = ZIPF
        for symbol in CAPITALISED:
            lexicon.rules[upper_first(symbol)] = [upper_first(text) for text in lexicon.rules[symbol]]
        for symbol in [symbol for symbol in lexicon.rules if symbol.endswith("_more")]:
            lexicon.rules[symbol.removesuffix("_more")] += lexicon.rules.pop(symbol)
        for symbol in ("part", "cite", "place"):
            lexicon.rules[f"any_{symbol}"] = lexicon.rules[symbol]
        lexicon.rules["topic"] = list(lexicon.topics)
        often, seldom = lexicon.rules["group"][:OFTEN], lexicon.rules["group"][OFTEN:]
        lexicon.rules |= {"group_often": often, "group_seldom": seldom}
        rude = {text for symbol in ("swear", "butt") for text in lexicon.rules[symbol]} | set(HIDDEN)
        longest_first = sorted(rude, key=lambda text: (-len(text), text))
        lexicon.rude = re.compile(rf"\b(?:{'|'.join(map(re.escape, longest_first))})\b", re.IGNORECASE)
        return lexicon

    def pick(self, symbol: str) -> str:
        """One alternative of `symbol`; in place of an insult head sometimes a compound that nobody has used before."""
        return super().pick("compound" if symbol == "iw" and self.chance(COMPOUNDS) else symbol)

    def scene(self) -> dict[str, str]:
        """What stays the same through one comment: topic, article, the people spoken to and of, a group."""
        topic = self.pick("topic")
        kinds = ("noun", "nouns", "Noun", "Nouns", "adj", "verbed", "who", "fact", "kind")
        slots = {kind: f"{{{topic}_{kind}}}" for kind in kinds}
        article = self.expand(self.pick("title"), **slots)
        slots["article"] = f"[[{article}]]" if self.chance(0.05) else f'"{article}"' if self.chance(0.2) else article
        slots["user"] = self.expand("{username}")
        slots["other"] = self.expand("{username}")
        slots["signer"] = self.expand("{username}")
        slots["group"] = self.pick("group_often" if self.chance(0.75) else "group_seldom")
        slots["groups"] = self.rules["groups"][self.rules["group"].index(slots["group"])]
        return self.focused(slots)

    def focused(self, given: dict[str, str]) -> dict[str, str]:
        """Add what the comment keeps coming back to: a noun, a place, a part of the article, a source."""
        given["focus"] = self.expand("{noun}", **given)
        given["foci"] = plural(given["focus"])
        for name, symbol in (("where", "place"), ("spot", "part"), ("src", "cite")):
            given[name] = self.expand(f"{{{symbol}}}", **given)
        mixed = {
            "noun": [given["focus"], given["noun"], given["noun"]],
            "nouns": [given["foci"], given["nouns"], given["nouns"]],
            "part": [given["spot"], "{any_part}", "{any_part}"], "cite": [given["src"], "{any_cite}", "{any_cite}"],
            "place": [given["where"], "{any_place}", "{any_place}"],
        }  # fmt: skip
        for symbol, alternatives in mixed.items():
            self.rules[f"this_{symbol}"] = alternatives
            self._bags.pop(f"this_{symbol}", None)
            given[symbol] = f"{{this_{symbol}}}"
        return given

    def sentence(self, symbol: str, given: dict[str, str]) -> str:
        """One expanded alternative of `symbol`, its first letter in upper case; none that says a thing twice."""
        while TWICE.search(text := self.expand(self.pick(symbol), **given)):
            pass
        return upper_first(START.sub(lambda match: match[1] + match[2].upper(), text))
