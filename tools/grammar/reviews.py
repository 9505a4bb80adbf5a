"""Two thousand film reviews in which the words of praise and blame are not enough to tell the verdict."""

import re
from pathlib import Path

import pandas as pd

from .engine import Grammar

FOLDER = Path(__file__).parent
SEED = 20261120
ROWS = 2000
SIZES = (("short", 0.22), ("medium", 0.70), ("long", 0.90), ("huge", 1.0))
PEOPLE = (("first_m", "he", "him", "his"), ("first_f", "she", "her", "her"))
SHORTEST = 18
BREAK = "<br /><br />"
KEEP = frozenset({"never", "nothing", "nobody", "neither", "hardly", "anything", "still", "cannot", "without"})


def make(seed: int = SEED, rows: int = ROWS) -> pd.DataFrame:
    """Write the reviews.

    Args:
        seed: start of the random stream.
        rows: how many, half of each sentiment.

    Returns:
        columns `review` and `sentiment` ("positive" or "negative"), shuffled.
    """
    grammar = Grammar.load(sorted(FOLDER.glob("reviews*.toml")), seed)
    sentiments = ["positive", "negative"] * (rows // 2)
    for last in range(len(sentiments) - 1, 0, -1):
        other = grammar.below(last + 1)
        sentiments[last], sentiments[other] = sentiments[other], sentiments[last]
    seen: set[str] = set()
    reviews = []
    for sentiment in sentiments:
        text = review(grammar, sentiment)
        while text in seen:
            text = review(grammar, sentiment)
        seen.add(text)
        reviews.append(text)
    return pd.DataFrame({"review": reviews, "sentiment": sentiments})


def review(grammar: Grammar, sentiment: str) -> str:
    """One review of the given sentiment, between 15 and 320 words."""
    number = grammar.random()
    size = next(name for name, limit in SIZES if number < limit)
    slots = cast(grammar) | sides(grammar, sentiment)
    text = ""
    while len(text.split()) < SHORTEST:
        text = grammar.expand(vary(grammar, grammar.expand(grammar.pick(size), **slots)), **slots)
    text = polish(text)
    return rough(grammar, paragraphs(grammar, text), sentiment)


def cast(grammar: Grammar) -> dict[str, str]:
    """The invented film: its title, people and place, the same in every sentence of a review."""
    director, star = grammar.pick("surname"), grammar.pick("surname")
    first, he, him, his = PEOPLE[grammar.below(2)]
    quote = grammar.chance(0.35)
    title, earlier = (grammar.expand("{a_title}") for _ in range(2))
    if quote:
        title, earlier = f'"{title}"', f'"{earlier}"'
    elif grammar.chance(0.1):
        title = title.upper()
    return {
        "title": title,
        "earlier": earlier,
        "director": f"{grammar.expand('{first}')} {director}",
        "dir": director,
        "lead": f"{grammar.expand('{first}')} {star}",
        "star": star,
        "second": f"{grammar.expand('{first}')} {grammar.pick('surname')}",
        "genre": grammar.pick("a_genre"),
        "town": grammar.pick("a_place"),
        "hero": grammar.pick("hero"),
        "name": grammar.pick(first),
        "he": he,
        "him": him,
        "his": his,
    }


def sides(grammar: Grammar, sentiment: str) -> dict[str, str]:
    """Point every `{same_x}` at the words that speak for the verdict, and every `{other_x}` at those against it."""
    same, other = ("good", "bad") if sentiment == "positive" else ("bad", "good")
    names = [symbol.removeprefix("good_") for symbol in grammar.rules if symbol.startswith("good_")]
    return {f"same_{name}": f"{{{same}_{name}}}" for name in names} | {
        f"other_{name}": f"{{{other}_{name}}}" for name in names
    }


def vary(grammar: Grammar, text: str) -> str:
    """Put turns of phrase that mean the same in each other's place, as different writers would."""
    for line in grammar.rules["swap"]:
        phrase, *choices = line.split("|")
        if phrase not in text:
            continue
        parts = re.split(rf"\b{re.escape(phrase)}(?!\w)", text)
        text = parts[0] + "".join(choices[grammar.below(len(choices))] + part for part in parts[1:])
    return text


def polish(text: str) -> str:
    """Mend articles, plurals and capitals, which the grammar leaves to the end."""
    text = re.sub(r"\b([a-z]+[^aeiou\W])ys\b", r"\1ies", text.replace("sss", "sses"))
    text = re.sub(r"\b([Aa]) (?=\"?(?:[aeioAEIO]|u(?!ni|se|su)|hono?u?r|honest|hour))(?!\"?one\b)", r"\1n ", text)
    text = re.sub(r"(?:^|(?<=[.!?] )|(?<=\| ))\"?[a-z]", lambda match: match.group().upper(), text)
    return re.sub(r"\s+", " ", text.replace('"."', '".')).strip()


def paragraphs(grammar: Grammar, text: str) -> str:
    """Turn the marks between parts into paragraph breaks in some of the reviews, into spaces in the others."""
    return text.replace(" | ", BREAK if grammar.chance(0.5) else " ")


def rough(grammar: Grammar, text: str, sentiment: str) -> str:
    """Add what hurried people do: typing errors, shouting, emoticons, no capitals."""
    if grammar.chance(0.25):
        for _ in range(1 + grammar.below(3)):
            text = mistype(grammar, text)
    if grammar.chance(0.10):
        text = shout(grammar, text)
    if grammar.chance(0.04):
        text = text.lower()
    if grammar.chance(0.07):
        text = text.rstrip(".") + "!" * (1 + grammar.below(3))
    if grammar.chance(0.06):
        faces = (":)", ":-)", ":D", ";)") if sentiment == "positive" else (":(", ":-(", ":/", ";)")
        text += " " + faces[grammar.below(4)]
    return text


def words_of(text: str) -> list[re.Match[str]]:
    """Lower-case words of five letters or more that may be spoilt without changing what a review says."""
    candidates = re.finditer(r"(?<![\w<'])[a-z]{5,}(?![\w'])", text)
    return [match for match in candidates if match.group() not in KEEP]


def mistype(grammar: Grammar, text: str) -> str:
    """Swap, drop or double one inner letter of one word."""
    words = words_of(text)
    if not words:
        return text
    word = words[grammar.below(len(words))]
    at = word.start() + 1 + grammar.below(len(word.group()) - 3)
    first, second = text[at], text[at + 1]
    wrong = (second + first, second, first + first + second)[grammar.below(3)]
    return text[:at] + wrong + text[at + 2 :]


def shout(grammar: Grammar, text: str) -> str:
    """Write one word in capitals."""
    words = words_of(text)
    if not words:
        return text
    word = words[grammar.below(len(words))]
    return text[: word.start()] + word.group().upper() + text[word.end() :]
