"""Which sentences earn the labels of a comment, and which clean sentences look like them."""

from .engine import Grammar

Labels = tuple[int, int, int, int, int, int]
Weights = dict[str, int]

# What a clean comment is about, with weights.
INTENTS: Weights = {
    "sources": 13, "deletion": 9, "revert": 13, "thanks": 8, "question": 12, "naming": 6, "images": 5, "style": 9,
    "neutral": 7, "policy": 9, "facts": 10, "chat": 6, "peace": 6, "grumble": 7,
}  # fmt: skip
ANGRY: Weights = {
    "grumble": 22, "revert": 22, "sources": 10, "deletion": 8, "facts": 14, "style": 6, "policy": 8, "neutral": 6,
    "naming": 4,
}  # fmt: skip
# Rude words in harmless use.
HARMLESS: Weights = {
    "hard_quote": 20, "hard_negation": 14, "hard_self": 12, "hard_idiom": 26, "hard_object": 14, "hard_third": 14,
    "hard_swear_ok": 3, "sarcasm_clean": 6,
}  # fmt: skip
# Kind or civil sentences in the shape of unkind ones.
CIVIL: Weights = {
    "clean_word": 26, "clean_work": 12, "clean_simile": 10, "clean_turn": 7, "friendly_you": 22, "civil_strong": 26,
    "civil_third": 14, "near_threat": 3, "hard_groups": 5, "silly_clean": 6, "doubt_toxic": 2, "doubt_insult": 1,
    "doubt_swear": 1,
}  # fmt: skip
INSULTS: Weights = {
    "ins_word": 70, "ins_work": 5, "ins_long": 8, "ins_simile": 8, "ins_plain": 9, "ins_char": 9, "ins_third": 4,
    "doubt_insult": 2,
}  # fmt: skip
HOSTILE: Weights = {"tox_rude": 42, "tox_work": 18, "tox_plain": 16, "taunt": 8, "doubt_toxic": 5}
MILD = ("mild_obscene", "mild_threat", "mild_insult", "mild_hate")


def weighted(grammar: Grammar, weights: Weights) -> str:
    """A key, drawn in proportion to its weight."""
    mark = grammar.random() * sum(weights.values())
    for key, weight in weights.items():
        mark -= weight
        if mark < 0:
            return key
    return key


def acts(grammar: Grammar, labels: Labels) -> list[str]:
    """Symbols whose sentences earn the labels."""
    toxic, severe, obscene, threat, insult, hate = labels
    chance = grammar.chance
    if not toxic:
        return [name for name, on in zip(MILD, (obscene, threat, insult, hate), strict=True) if on]
    drawn = ["threat"] * (1 + chance(0.7)) if threat else []
    if hate:
        drawn += ["hate_obs" if obscene and chance(0.4) else "hate"] + ["hate"] * chance(0.3)
    if severe and obscene:
        drawn += ["severe"] * (2 + grammar.below(3))
    if obscene and insult:
        drawn += ["obs_ins"] if chance(0.7) else ["obs_only", weighted(grammar, INSULTS)]
    elif obscene:
        drawn.append("doubt_swear" if chance(0.04) else "obs_only")
    elif insult:
        drawn.append(weighted(grammar, INSULTS))
    if not drawn:
        drawn.append(weighted(grammar, HOSTILE))
    if severe and not obscene:
        drawn += drawn * 2
    return drawn


def another(grammar: Grammar, labels: Labels) -> str:
    """One more act for a comment that has those of `acts`."""
    _, severe, obscene, threat, insult, hate = labels
    chance = grammar.chance
    if hate and chance(0.25):
        return "hate"
    if threat and chance(0.25):
        return "threat"
    if severe and obscene and chance(0.4):
        return "severe"
    if obscene and insult and chance(0.5):
        return "obs_ins"
    if obscene and chance(0.5):
        return "obs_only"
    return weighted(grammar, INSULTS if insult and chance(0.7) else HOSTILE)
