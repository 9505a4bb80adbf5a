"""Put one comment together: acts that earn its labels, sentences around them, layout as on a talk page."""

import math

from .comments_acts import ANGRY, CIVIL, HARMLESS, INTENTS, Labels, Weights, acts, another, weighted
from .comments_lexicon import Lexicon, upper_first
from .comments_voice import dump_quotes, repair, typed

# Length in characters at given shares of the comments, drawn log-linearly in between. A little below the real ones,
# since invented names make more tokens a character.
SHARES = (0.0, 0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.98, 0.99, 1.0)
CLEAN_LENGTHS = (14, 22, 33, 47, 96, 202, 432, 880, 1360, 2423, 3614, 4990)
RUDE_LENGTHS = (19, 22, 28, 36, 64, 126, 272, 541, 1090, 3000, 4600, 4990)
MOST = 5000
MOST_ACTS = 6


class Composer:
    """Writes comments from a lexicon."""

    def __init__(self, lexicon: Lexicon) -> None:
        self.lexicon = lexicon

    def length(self, quantiles: tuple[int, ...]) -> int:
        """A target length in characters."""
        share = self.lexicon.random()
        above = next(i for i, edge in enumerate(SHARES) if share < edge)
        low, high = math.log(quantiles[above - 1]), math.log(quantiles[above])
        part = (share - SHARES[above - 1]) / (SHARES[above] - SHARES[above - 1])
        return int(round(math.exp(low + part * (high - low)), 3))

    def fill(self, given: dict[str, str], target: int, start: list[str], weights: Weights) -> list[str]:
        """Add sentences to `start` until the target length is met as closely as six draws a sentence allow."""
        main, sentences = weighted(self.lexicon, weights), list(start)
        short = "short_angry" if weights is ANGRY else "short"
        size = sum(len(sentence) + 1 for sentence in sentences)
        while size < target * 0.9:
            best = ""
            for _ in range(6):
                symbol = (
                    short
                    if target - size < 48
                    else main
                    if self.lexicon.chance(0.7)
                    else weighted(self.lexicon, weights)
                )
                sentence = self.lexicon.sentence(symbol, given)
                if not best or abs(size + len(sentence) - target) < abs(size + len(best) - target):
                    best = sentence
                if size + len(best) <= target * 1.05:
                    break
            if size and size + len(best) - target > target - size:
                break
            sentences.append(best)
            size += len(best) + 1
        return sentences

    def paragraphs(self, sentences: list[str]) -> str:
        """Join sentences; longer comments break into paragraphs."""
        text, lexicon = "", self.lexicon
        airy = 0.3 if lexicon.chance(0.5) else 0.08
        for sentence in sentences:
            if text and text[-1].isalnum():
                text += ("!", ".", "...", "!!", "\n")[lexicon.below(5)]
            if text and text[-1] != "\n":
                text += ("\n\n" if lexicon.chance(0.7) else "\n") if len(text) > 120 and lexicon.chance(airy) else " "
            text += sentence
        return text

    def block(self, given: dict[str, str], target: int) -> str:
        """A pasted block: suggested article text, a reading list, a list of items, mark-up."""
        kind = weighted(self.lexicon, {"article_text": 8, "refitem": 4, "listitem": 4, "wikitext": 1})
        lines, size = [], 0
        while size < target:
            lines.append(self.lexicon.sentence(kind, given))
            size += len(lines[-1]) + 2
        if kind == "article_text":
            return " ".join(lines)
        bullet = ("* ", "# ", "- ", "", "*")[self.lexicon.below(5)]
        return "\n".join(bullet + line for line in lines)

    def clean_body(self, given: dict[str, str], target: int) -> str:
        """The body of a clean comment: prose, a notice, another language, mark-up talk, or prose with pasted blocks."""
        lexicon = self.lexicon
        kind = lexicon.random()
        if kind < 0.028:
            return " ".join(self.foreign(given, target))
        if kind < 0.034:
            return self.paragraphs(self.fill(given, target, [lexicon.sentence("html", given)], {"html": 3, "style": 1}))
        if kind < 0.10 and target > 150:
            tone = "welcome" if lexicon.chance(0.45) else "warn"
            opening = [lexicon.sentence(f"{tone}_open", given)]
            return self.paragraphs(self.fill(given, target, opening, {f"{tone}_mid": 1}))
        chances = ((HARMLESS, 0.07), (CIVIL, 0.3))
        start = [lexicon.sentence(weighted(lexicon, kinds), given) for kinds, share in chances if lexicon.chance(share)]
        angry = lexicon.chance(0.15)
        arc = self.arc("arc_angry" if angry else "arc", given, target) if lexicon.chance(0.65) else []
        if target < 500 or lexicon.chance(0.45):
            rest = self.shuffled(self.fill(given, target - sum(map(len, arc)), start, INTENTS))
            return self.paragraphs(self.joined(arc, rest))
        parts, size = [], 0
        while size < target * 0.93:
            piece = min(target - size, 150 + lexicon.below(500))
            if not parts or lexicon.chance(0.5):
                parts.append(self.paragraphs(self.fill(given, piece, start, INTENTS)))
            else:
                parts.append(self.block(given, piece))
            start, size = [], size + len(parts[-1]) + 2
        return "\n\n".join(parts)

    def arc(self, symbol: str, given: dict[str, str], target: int) -> list[str]:
        """A few sentences that belong together, in a list of one, or an empty list where the target is too short."""
        for _ in range(3 if target > 110 else 0):
            text = self.lexicon.sentence(symbol, given)
            if len(text) < target * 1.1:
                return [text]
        return []

    def joined(self, arc: list[str], rest: list[str]) -> list[str]:
        """The arc before the rest, or, one time in four, after it."""
        return rest + arc if self.lexicon.chance(0.25) else arc + rest

    def foreign(self, given: dict[str, str], target: int) -> list[str]:
        """Sentences of one other language, none twice."""
        tongue = weighted(self.lexicon, {"de": 6, "es": 6, "fr": 5, "it": 4, "pt": 2, "nl": 2, "pl": 1, "sv": 1})
        sentences: list[str] = []
        for _ in range(len(self.lexicon.rules[f"foreign_{tongue}"])):
            sentence = self.lexicon.sentence(f"foreign_{tongue}", given)
            sentences += [sentence] if sentence not in sentences else []
            if sum(map(len, sentences)) > target:
                break
        return sentences

    def shuffled(self, items: list[str]) -> list[str]:
        """The items in random order."""
        left, out = list(items), []
        while left:
            out.append(left.pop(self.lexicon.below(len(left))))
        return out

    def rude_body(self, given: dict[str, str], target: int, labels: Labels) -> str:
        """The body of a comment with labels: its acts, in order or scattered, among other sentences."""
        lexicon = self.lexicon
        start = [lexicon.sentence(act, given) for act in acts(lexicon, labels)]
        unkind = target * lexicon.random() if labels[0] and lexicon.chance(0.85) else 0
        while sum(map(len, start)) < unkind and len(start) < MOST_ACTS:
            start.append(lexicon.sentence(another(lexicon, labels), given))
        if labels[0] and labels[4] and sum(labels) == 2 and lexicon.chance(0.07):
            return lexicon.sentence(f"rude_{weighted(self.lexicon, {'de': 3, 'es': 3, 'fr': 2, 'it': 2})}", given)
        arc = self.arc("arc_angry" if labels[0] else "arc", given, target) if lexicon.chance(0.4) else []
        angry = labels[0] and lexicon.chance(0.75)
        sentences = self.fill(given, target - sum(map(len, arc)), start, ANGRY if angry else INTENTS)
        mixed = lexicon.chance(0.2)
        return self.paragraphs(self.joined(arc, self.shuffled(sentences)) if mixed else sentences + arc)

    def greeting(self, given: dict[str, str]) -> str:
        """A greeting with the space or the empty line after it."""
        text = self.lexicon.sentence("hello", given)
        return text + ("\n\n" if text[-1].isalpha() or self.lexicon.chance(0.3) else " ")

    def layout(self, body: str, given: dict[str, str], target: int, *, rude: bool) -> str:
        """Heading, greeting, farewell, signature, indent, smiley."""
        lexicon = self.lexicon
        if target > 90 and lexicon.chance(0.05 if rude else 0.16):
            body = self.greeting(given) + body
        if target > 120 and not rude and lexicon.chance(0.14):
            body += ("\n\n" if lexicon.chance(0.4) else " ") + lexicon.sentence("bye", given)
        if lexicon.chance(0.06 if rude else 0.04):
            body += " " + lexicon.pick("emoji_rude" if rude else "emoji")
        if target > 60 and lexicon.chance(0.16):
            body += ("  " if lexicon.chance(0.5) else "\n\n") + lexicon.expand("{signature}", **given)
        if lexicon.chance(0.05):
            body = ":" * (1 + lexicon.below(4)) + body
        if target > 70 and lexicon.chance(0.16):
            head = upper_first(lexicon.expand("{heading}", **given))
            body = f"== {head} ==\n\n{body}" if lexicon.chance(0.3) else f"{head}\n\n{body}"
        return body

    def comment(self, labels: Labels) -> str:
        """One comment that deserves the labels."""
        lexicon = self.lexicon
        slots = lexicon.scene()
        rude = bool(labels[0])
        target = self.length(RUDE_LENGTHS if rude else CLEAN_LENGTHS)
        room = max(12, int(target * (0.95 if target > 90 else 1.0)))
        pasted = target > 900 and rude and lexicon.chance(0.6 if labels[1] else 0.25)
        short = min(room, 150 + lexicon.below(200)) if pasted else room
        body = self.rude_body(slots, short, labels) if any(labels) else self.clean_body(slots, room)
        body = typed(repair(body), lexicon, rude=rude)
        if pasted:
            line = body + (" " if lexicon.chance(0.6) else "\n")
            body = (line * (room // len(line) + 1)).strip()[:room]
        text = dump_quotes(repair(self.layout(body, slots, target, rude=rude)))
        return text[:MOST].strip()
