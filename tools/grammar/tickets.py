"""Three thousand messages to the help desk of an invented library, each with the topics that it is about, up to four.

Three of the topics got their label later than the others: in the messages before, nobody knows whether they are meant.
"""

import re
from collections import Counter
from itertools import accumulate
from pathlib import Path

import pandas as pd

from .engine import Grammar
from .reviews import mistype, polish

FOLDER = Path(__file__).parent
SEED = 20261123
ROWS = 3000
FIRST = {  # how often a message begins with the topic; those that keep company with others come up more often
    "login": 55,
    "card": 44,
    "membership": 40,
    "renewal": 72,
    "reservation": 120,
    "overdue": 70,
    "fees": 62,
    "refund": 16,
    "damaged": 40,
    "catalogue": 62,
    "purchase": 18,
    "ebooks": 90,
    "app": 36,
    "wifi": 34,
    "printing": 42,
    "rooms": 42,
    "events": 62,
    "children": 56,
    "accessibility": 30,
    "hours": 54,
    "building": 40,
    "privacy": 11,
    "makerspace": 18,
}
LABELS = tuple(FIRST)
SINCE = {"ebooks": 1200, "accessibility": 800, "makerspace": 500}  # the first row in which the label is known
SIZES = ((0.05, 0), (0.45, 1), (0.82, 2), (0.96, 3), (1.01, 4))  # cumulative share of messages, topics
FORGOTTEN = 0.025  # share of a message's further topics that the desk overlooks
LANGUAGES = (("de", 0.018), ("es", 0.032), ("fr", 0.046))  # cumulative share
TIERS = (("terse", 0.09), ("rare", 0.26), ("odd", 0.29), ("say", 1.0))  # cumulative share of sentences
MOST = {"rare": 3, "odd": 2}  # how often a sentence that is put in some other way may come back


def make(seed: int = SEED, rows: int = ROWS) -> pd.DataFrame:
    """Write the messages.

    Args:
        seed: start of the random stream.
        rows: how many; the first ones lack the labels that came later.

    Returns:
        `ticket` (language of the form and a number, in the order in which they came), `message`, then a column a topic
        of 0, 1 and, where nobody knows, a missing value.
    """
    grammar = Grammar.load(sorted(FOLDER.glob("tickets*.toml")), seed)
    seen: set[str] = set()
    used: Counter[str] = Counter()
    table = []
    for row in range(rows):
        number = grammar.random()
        language = next((name for name, limit in LANGUAGES if number < limit), "en")
        text, topics = write(grammar, language, used)
        while text.lower() in seen:
            text, topics = write(grammar, language, used)
        seen.add(text.lower())
        noted = [topic for position, topic in enumerate(topics) if position == 0 or not grammar.chance(FORGOTTEN)]
        marks = [pd.NA if row < SINCE.get(label, 0) * rows // ROWS else int(label in noted) for label in LABELS]
        table.append((f"{language.upper()}-{row + 1:05}", text, *marks))
    return pd.DataFrame(table, columns=["ticket", "message", *LABELS]).astype(dict.fromkeys(LABELS, "Int8"))


def write(grammar: Grammar, language: str, used: Counter[str]) -> tuple[str, list[str]]:
    """One message in a language, and its topics; `used` counts those put in some other way."""
    number = grammar.random()
    size = next(size for limit, size in SIZES if number < limit)
    if language != "en":
        return abroad(grammar, language, min(max(size, 1), 2))
    topics = choose(grammar, size)
    return rough(grammar, polish(frame(grammar, sentences(grammar, topics, used)))), topics


def choose(grammar: Grammar, size: int) -> list[str]:
    """Topics of a message: the first by `FIRST`, each further one mostly out of the company that the last one keeps."""
    topics: list[str] = []
    while len(topics) < size:
        others = partners(grammar, topics[-1]) if topics and grammar.chance(0.7) else []
        others = [topic for topic in others if topic not in topics]
        topic = weighted(grammar, {topic: FIRST[topic] for topic in others} if others else FIRST)
        if topic not in topics:
            topics.append(topic)
    return topics


def weighted(grammar: Grammar, weights: dict[str, int]) -> str:
    """A name drawn by its weight."""
    number = grammar.below(sum(weights.values()))
    return next(name for name, limit in zip(weights, accumulate(weights.values()), strict=True) if number < limit)


def partners(grammar: Grammar, topic: str) -> list[str]:
    """Topics with which a topic shares sentences."""
    pairs = [symbol.split("_")[1:] for symbol in grammar.rules if symbol.startswith("both_")]
    return [other for pair in pairs if topic in pair for other in pair if other != topic]


def sentences(grammar: Grammar, topics: list[str], used: Counter[str]) -> list[str]:
    """A sentence a topic, or one for two neighbouring topics that have sentences of their own."""
    chosen, position = [], 0
    while position < len(topics):
        here = topics[position]
        pair = [f"both_{here}_{other}" for other in topics[position + 1 : position + 2]]
        pair += [f"both_{other}_{here}" for other in topics[position + 1 : position + 2]]
        pair = [symbol for symbol in pair if symbol in grammar.rules]
        if pair and grammar.chance(0.6):
            chosen.append(filled(grammar, grammar.pick(pair[0])))
            position += 2
            continue
        chosen.append(filled(grammar, grammar.pick(f"{tier(grammar, here, used)}_{here}")))
        position += 1
    return chosen


def tier(grammar: Grammar, topic: str, used: Counter[str]) -> str:
    """How a topic is put; in some other way as long as such sentences are not worn out, else as most people do."""
    number = grammar.random()
    name = next(name for name, limit in TIERS if number < limit)
    if name in MOST:
        symbol = f"{name}_{topic}"
        used[symbol] += 1
        name = name if used[symbol] <= MOST[name] * len(grammar.rules[symbol]) else "say"
    return name


def filled(grammar: Grammar, sentence: str) -> str:
    """A sentence with its slots filled, every use of a slot that names one thing with the same words."""
    slots = {name: grammar.expand(f"{{{name}}}") for name in ("title", "author", "item", "kid")}
    text = swapped(grammar, grammar.expand(sentence, **slots))
    asks = re.match(r"(?:could you|would you|can you)\b", text, re.IGNORECASE)
    return f"{text.rstrip('.')}?" if asks and text.endswith(".") else text


def swapped(grammar: Grammar, text: str) -> str:
    """Put turns of phrase that mean the same in each other's place, in half of the cases."""
    for line in grammar.rules["swap"]:
        phrase, *choices = line.split("|")
        if phrase in text and grammar.chance(0.5):
            text = re.sub(rf"\b{re.escape(phrase)}(?!\w)", choices[grammar.below(len(choices))], text, count=1)
    return text


def frame(grammar: Grammar, parts: list[str]) -> str:
    """Put the sentences of a message together with what people write around them."""
    if not parts:
        parts = [grammar.expand("{off_topic}")]
    pieces = [grammar.expand("{greeting}")] if grammar.chance(0.45) else []
    if grammar.chance(0.28):
        pieces.append(grammar.expand("{before_it}"))
    for position, part in enumerate(parts):
        if position and grammar.chance(0.4):
            pieces.append(grammar.expand("{link}"))
            part = part if part.startswith(("I ", "I'", "'")) else part[0].lower() + part[1:]
        pieces.append(part)
        if grammar.chance(0.25):
            pieces.append(grammar.expand("{after_it}"))
    if grammar.chance(0.4):
        pieces.append(grammar.expand("{closing}"))
    return " ".join(joined(pieces))


def joined(pieces: list[str]) -> list[str]:
    """A full stop behind what has no sign at its end and is followed by something."""
    ends = (".", "!", "?", ",", ":", "And", "Then")
    return [piece if piece.endswith(ends) or last else f"{piece}." for piece, last in lasts(pieces)]


def lasts(pieces: list[str]) -> list[tuple[str, bool]]:
    """Each piece, and whether it is the last."""
    return [(piece, position == len(pieces) - 1) for position, piece in enumerate(pieces)]


def rough(grammar: Grammar, text: str) -> str:
    """Add what hurried people do: typing errors, no capitals, no signs, shouting."""
    if grammar.chance(0.2):
        for _ in range(1 + grammar.below(2)):
            text = mistype(grammar, text)
    if grammar.chance(0.1):
        text = text.lower()
    if grammar.chance(0.06):
        text = re.sub(r"[.,?!]", "", text)
    if grammar.chance(0.015):
        text = text.upper()
    if grammar.chance(0.06):
        text = text.rstrip(".") + "!" * (1 + grammar.below(3))
    return text


def abroad(grammar: Grammar, language: str, size: int) -> tuple[str, list[str]]:
    """A message in another language, and its topics."""
    topics = choose(grammar, size)
    pieces = [grammar.expand(f"{{{language}_greeting}}")] if grammar.chance(0.6) else []
    for position, topic in enumerate(topics):
        pieces += [grammar.expand(f"{{{language}_and}}")] if position else []
        pieces.append(grammar.expand(f"{{{language}_{topic}}}"))
    pieces += [grammar.expand(f"{{{language}_after}}")] if grammar.chance(0.4) else []
    pieces += [grammar.expand(f"{{{language}_closing}}")] if grammar.chance(0.5) else []
    text = re.sub(r"\s+", " ", " ".join(joined(pieces)))
    return (mistype(grammar, text) if grammar.chance(0.2) else text), topics
