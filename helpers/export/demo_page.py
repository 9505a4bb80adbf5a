"""A page on which people try a tagger: a text, its probabilities, and a slider for each label's threshold."""

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from helpers.arguments import check_list, check_number
from helpers.export.predictor import Predictor

if TYPE_CHECKING:
    from gradio import Blocks
    from starlette.types import ASGIApp, Receive, Scope, Send

_ROW = """\
<tr><th scope="row">{label}</th><td style="width:55%"><div style="position:relative;height:1.1em;background:#8883">
<div style="width:{percent:.1f}%;height:100%;background:{colour}"></div>
<div style="position:absolute;top:-15%;left:{limit:.1f}%;width:2px;height:130%;background:currentColor">
</div></div></td>
<td style="text-align:right">{probability:.3f}</td><td>{verdict}</td></tr>
"""
_GIVEN, _NOT = "#D55E00", "#56B4E9"  # told apart by the colour-blind too (Okabe and Ito)


MAX_CHARACTERS = 100_000  # of a text
MAX_BYTES = 2**21  # of a request: such a text, each character as two escapes of JSON, and the thresholds
MAX_WAITING = 64  # requests in the queue
_LOCAL = ("localhost", "127.0.0.1", "[::1]", "::1")


def demo(
    predictor: Predictor,
    *,
    examples: Sequence[str] = (),
    title: str = "Try the tagger",
    allowed_hosts: Sequence[str] = (),
) -> "Blocks":
    """Build a page on which people try a predictor; nothing is started yet.

    `demo(predictor).launch(server_name="127.0.0.1", share=False)` opens it to this computer alone (on Colab, without
    `share=False`, Gradio opens it to the world), and `.close()` ends it. What is typed is neither kept nor sent on.

    The server refuses texts of more than 100,000 characters, requests of more than 2 MB, any file, and a request when
    64 are waiting. Until you open the page to others, by `share=True` or another `server_name`, it also refuses
    requests whose Host header names another computer. A website sends such requests when it has pointed its own name to
    your computer (DNS rebinding).

    Args:
        predictor: as `Predictor.load` gives it.
        examples: texts to try with one click.
        title: of the page.
        allowed_hosts: further names in the Host header, that of a proxy for example; "*" allows all.

    Raises:
        ValueError: a predictor of another type, or one text instead of a list of examples.
        ImportError: Gradio is not installed (extra `demo`).
    """
    if not isinstance(predictor, Predictor):
        kind = type(predictor).__name__
        raise ValueError(f"predictor: expected what export.Predictor.load(folder) returns, got a {kind}")
    examples = check_list("examples", examples, "texts")
    try:
        import gradio
    except ImportError as error:
        raise ImportError('the page needs Gradio: pip install "counts-to-bert[demo]"') from error

    with gradio.Blocks(title=title, analytics_enabled=False) as page:
        gradio.Markdown(f"# {title}")
        with gradio.Row():
            with gradio.Column(scale=3):
                text = gradio.Textbox(label="Text", lines=4, max_length=MAX_CHARACTERS, elem_id="text")
                answer = gradio.HTML(_table(predictor, [], []), elem_id="answer")
                if examples:
                    gradio.Examples([[example] for example in examples], [text])
            with gradio.Column(scale=2):
                gradio.Markdown("A label is given from this probability on:")
                sliders = [
                    gradio.Slider(0, 1, limit, step=0.01, label=label) for label, limit in _limits(predictor).items()
                ]
        probabilities = gradio.State([])

        def ask(words: str | None, *limits: float) -> tuple[list[float], str]:
            show([], *limits)  # refuses thresholds before the model runs
            if len(words or "") > MAX_CHARACTERS:
                size = f"the text has {len(words or ''):,} characters; at most {MAX_CHARACTERS:,} are read"
                raise gradio.Error(size, print_exception=False)
            found = predictor.predict_proba([words]).iloc[0].tolist() if words and words.strip() else []
            return found, show(found, *limits)

        def show(found: list[float], *limits: float) -> str:
            try:
                limits = tuple(check_number("threshold", limit, at_least=0, at_most=1) for limit in limits)
            except ValueError as error:
                raise gradio.Error(html.escape(str(error)), print_exception=False) from error
            return _table(predictor, found, limits)

        quiet: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "always_last"}
        text.change(ask, [text, *sliders], [probabilities, answer], **quiet)
        for slider in sliders:
            slider.change(show, [probabilities, *sliders], answer, api_visibility="private", **quiet)
    return _guarded(page.queue(max_size=MAX_WAITING), allowed_hosts)


def _guarded(page: "Blocks", allowed_hosts: Sequence[str]) -> "Blocks":
    """The page, whose server will check the size of each request and the host that it asks for."""
    from starlette.middleware import Middleware
    from starlette.middleware.body_limit import RequestBodyLimitMiddleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    def by_host(app: "ASGIApp") -> "ASGIApp":
        local_only = TrustedHostMiddleware(app, [*_LOCAL, *allowed_hosts], www_redirect=False)

        async def call(scope: "Scope", receive: "Receive", send: "Send") -> None:
            is_open = page.share or page.server_name not in _LOCAL
            await (app if is_open else local_only)(scope, receive, send)

        return call

    launch = page.launch

    def guarded_launch(*arguments: Any, app_kwargs: dict[str, Any] | None = None, **options: Any) -> Any:  # noqa: ANN401
        own = [Middleware(RequestBodyLimitMiddleware, MAX_BYTES), Middleware(by_host)]
        given = app_kwargs or {}
        kwargs = given | {"middleware": [*own, *given.get("middleware", [])]}
        return launch(*arguments, app_kwargs=kwargs, **({"max_file_size": 0} | options))

    vars(page)["launch"] = guarded_launch
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
