"""How a comment is typed: misspellings, shouting, obfuscated rude words, quotes as in wiki dumps, small repairs."""

import re

from .comments_lexicon import Lexicon

A_TO_AN = re.compile(r"\b([Aa]) (?=[aeioAEIO]|un(?!i[tqv])|ul|up|[uU]gl|8|1[18]\d\d\b)(?!one\b|on[ce]e|eu|Eu)")
LEET = str.maketrans("aeiost", "431057")


def repair(text: str) -> str:
    """Right articles before vowels, mark-up braces, no doubled full stops."""
    text = A_TO_AN.sub(r"\1n ", text)
    text = text.replace("<<", "{{").replace(">>", "}}")
    return re.sub(r"(?<![.])\.\.(?![.])", ".", text).replace("?.", "?").replace("!.", "!")


def misspell(text: str, rate: float, lexicon: Lexicon) -> str:
    """Each word but links is mistyped with probability `rate`: a known slip, letters swapped, dropped or doubled."""
    slips = dict(pair.split() for pair in lexicon.rules["slips"])

    def mistype(match: re.Match[str]) -> str:
        word = match.group()
        if "." in word or "/" in word or not lexicon.chance(rate):
            return word
        if word in slips:
            return slips[word]
        if len(word) < 4:
            return word.lower()
        at, kind = 1 + lexicon.below(len(word) - 2), lexicon.below(3)
        if kind == 0:
            return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
        return word[:at] + word[at + 1 :] if kind == 1 else word[:at] + word[at] + word[at:]

    return re.sub(r"\b(?:[Hh]ttps?://|[Ww]ww\.)\S+|\b[A-Za-z']+\b", mistype, text)


def lazy(text: str) -> str:
    """No capitals, no apostrophes, no last full stop, as typed in a hurry."""
    return text.lower().replace("'", "").rstrip(".")


def obfuscate(text: str, lexicon: Lexicon) -> str:
    """Hide rude words from a filter: a star, digits for letters, spaces between letters, a doubled letter."""

    def hide(match: re.Match[str]) -> str:
        word, kind = match.group(), lexicon.below(4)
        if kind == 0:
            stars = 1 + lexicon.below(2)
            return word[0] + "*" * stars + word[1 + stars :]
        if kind == 1:
            return word.lower().translate(LEET)
        if kind == 2:
            return " ".join(word.replace(" ", ""))
        return word[:-1] + word[-1] * (2 + lexicon.below(4))

    return lexicon.rude.sub(hide, text)


def dump_quotes(text: str) -> str:
    """A comment with a quotation mark as the wiki dump writes it: wrapped, inner marks doubled."""
    if '"' not in text:
        return text
    return '"' + text.replace('"', '""') + '"'


def typed(text: str, lexicon: Lexicon, *, rude: bool) -> str:
    """The text as its writer typed it. Angry writers are sloppier, louder, and dodge filters."""
    if rude and lexicon.chance(0.1):
        text = obfuscate(text, lexicon)
    if lexicon.chance(0.3 if rude else 0.14):
        text = misspell(text, (0.03, 0.08, 0.2)[lexicon.below(3)], lexicon)
    if lexicon.chance(0.16 if rude else 0.05):
        text = lazy(text)
    elif lexicon.chance(0.1 if rude else 0.012):
        text = text.upper()
    if lexicon.chance(0.2 if rude else 0.05):
        text = text.rstrip(".!") + "!" * (1 + lexicon.below(5))
    return text
