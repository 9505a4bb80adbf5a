"""A page on which people try a tagger: a text, its probabilities, and a slider for each label's threshold."""

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from helpers.export.predictor import Predictor

if TYPE_CHECKING:
    from gradio import Blocks

_ROW = """\
<tr><th scope="row">{label}</th><td style="width:55%"><div style="position:relative;height:1.1em;background:#8883">
<div style="width:{percent:.1f}%;height:100%;background:{colour}"></div>
<div style="position:absolute;top:-15%;left:{limit:.1f}%;width:2px;height:130%;background:currentColor">
</div></div></td>
<td style="text-align:right">{probability:.3f}</td><td>{verdict}</td></tr>
"""
_GIVEN, _NOT = "#D55E00", "#56B4E9"  # told apart by the colour-blind too (Okabe and Ito)


def demo(predictor: Predictor, *, examples: Sequence[str] = (), title: str = "Try the tagger") -> "Blocks":
    """A page that asks a predictor; nothing is started yet.

    `demo(predictor).launch(server_name="127.0.0.1", share=False)` opens it to this computer alone (on Colab, without
    `share=False`, Gradio opens it to the world), and `.close()` ends it. What is typed is neither kept nor sent on.

    Args:
        predictor: as `Predictor.load` gives it.
        examples: texts to try with one click.
        title: of the page.

    Raises:
        ImportError: Gradio is not installed (extra `demo`).
    """
    try:
        import gradio
    except ImportError as error:
        raise ImportError('the page needs Gradio: pip install "counts-to-bert[demo]"') from error

    with gradio.Blocks(title=title, analytics_enabled=False) as page:
        gradio.Markdown(f"# {title}")
        with gradio.Row():
            with gradio.Column(scale=3):
                text = gradio.Textbox(label="Text", lines=4, max_length=100_000, elem_id="text")
                answer = gradio.HTML(_table(predictor, [], []), elem_id="answer")
                if examples:
                    gradio.Examples([[example] for example in examples], [text])
            with gradio.Column(scale=2):
                gradio.Markdown("A label is given from this probability on:")
                sliders = [
                    gradio.Slider(0, 1, limit, step=0.01, label=label) for label, limit in _limits(predictor).items()
                ]
        found = gradio.State([])

        def ask(words: str, *limits: float) -> tuple[list[float], str]:
            probabilities = predictor.predict([words]).iloc[0].tolist() if words.strip() else []
            return probabilities, _table(predictor, probabilities, limits)

        quiet: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "always_last"}
        text.change(ask, [text, *sliders], [found, answer], **quiet)
        for slider in sliders:
            slider.change(
                lambda probabilities, *limits: _table(predictor, probabilities, limits),
                [found, *sliders],
                answer,
                **quiet,
            )
    return page


def _limits(predictor: Predictor) -> dict[str, float]:
    """Where the sliders stand at first: a threshold of inf, never, is at their end."""
    return {label: min(predictor.thresholds[label], 1.0) for label in predictor.labels}


def _table(predictor: Predictor, probabilities: Sequence[float], limits: Sequence[float]) -> str:
    """The answer as HTML; without probabilities an invitation."""
    if not probabilities:
        return "<p>Type a text: its labels appear here.</p>"
    rows = [
        _ROW.format(
            label=html.escape(label),
            percent=100 * probability,
            limit=100 * limit,
            probability=probability,
            verdict="given" if probability >= limit else "&ndash;",
            colour=_GIVEN if probability >= limit else _NOT,
        )
        for label, probability, limit in zip(predictor.labels, probabilities, limits, strict=True)
    ]
    return f'<table style="width:100%"><tbody>{"".join(rows)}</tbody></table>'
