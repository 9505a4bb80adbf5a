"""A page on which people try a tagger: a text, its probabilities, and a slider for the threshold of each label."""

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from helpers.arguments import check_list, check_number
from helpers.export.predictor import Predictor

if TYPE_CHECKING:
    from gradio import Blocks
    from pandas.io.formats.style import Styler
    from starlette.types import ASGIApp, Receive, Scope, Send

_GIVEN, _NOT = "#E69F00", "#56B4E9"  # told apart by the colour-blind too (Okabe and Ito)
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

    def ask(text: str | None, *thresholds: float) -> "Styler":
        try:
            limits = [check_number("threshold", limit, at_least=0, at_most=1) for limit in thresholds]
            if len(text or "") > MAX_CHARACTERS:
                raise ValueError(f"the text has {len(text or ''):,} characters; at most {MAX_CHARACTERS:,} are read")
        except ValueError as error:
            raise gradio.Error(html.escape(str(error)), print_exception=False) from error
        return _answer(predictor, text or "", limits)

    starts = {label: min(predictor.thresholds[label], 1.0) for label in predictor.labels}  # inf, never, is at the end
    box = gradio.Textbox(label="Text", lines=4, max_length=MAX_CHARACTERS, elem_id="text")
    sliders = [gradio.Slider(0, 1, start, step=0.01, label=f"threshold: {label}") for label, start in starts.items()]
    answer = gradio.Dataframe(_answer(predictor, "", ()), label="Labels", interactive=False, elem_id="answer")
    options: dict[str, Any] = {"live": True, "flagging_mode": "never", "api_name": "ask", "show_progress": "hidden"}
    options |= {"title": title, "examples": [[example] for example in examples] or None, "analytics_enabled": False}
    return _guarded(
        gradio.Interface(ask, [box, *sliders], answer, **options).queue(max_size=MAX_WAITING), allowed_hosts
    )


def _answer(predictor: Predictor, text: str, thresholds: Sequence[float]) -> "Styler":
    """A table with one row per label, and a bar for its probability; no row without a text."""
    probabilities = predictor.predict_proba([text]).iloc[0].tolist() if text.strip() else []
    rows = zip(predictor.labels, probabilities, thresholds, strict=False)
    answers = [(label, value, "given" if value >= limit else "–") for label, value, limit in rows]
    table = pd.DataFrame(answers, columns=["label", "probability", "decision"])
    style, is_given = table.style.format({"probability": "{:.3f}"}), table["decision"] == "given"
    for color, chosen in ((_GIVEN, is_given), (_NOT, ~is_given)):
        style = style.bar(pd.IndexSlice[chosen, ["probability"]], vmin=0, vmax=1, color=color)
    return style


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

    launch, own = page.launch, [Middleware(RequestBodyLimitMiddleware, MAX_BYTES), Middleware(by_host)]

    def guarded_launch(*arguments: Any, app_kwargs: dict[str, Any] | None = None, **options: Any) -> Any:  # noqa: ANN401
        settings = app_kwargs or {}
        settings = settings | {"middleware": [*own, *settings.get("middleware", [])]}
        return launch(*arguments, app_kwargs=settings, **({"max_file_size": 0} | options))

    vars(page)["launch"] = guarded_launch
    return page
