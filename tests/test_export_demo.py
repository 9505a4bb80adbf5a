"""The page in a real browser, where Chromium types, reads and moves a slider; and its server, asked by HTTP."""

import json
import os

import chromium
import pytest
import torch
from transformers import BertConfig, BertModel

from helpers import export, models, text

LABELS = ["rude", "<b>kind</b>"]


@pytest.fixture(scope="module")
def predictor(tmp_path_factory):
    torch.manual_seed(0)
    sizes = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48}
    tagger = models.BertTagger(BertModel(BertConfig(**sizes)), 2)
    torch.nn.init.normal_(tagger.head.weight)
    folder = tmp_path_factory.mktemp("demo") / "tagger"
    models.save_tagger(folder, tagger, text.load_tokenizer(), labels=LABELS, thresholds={"rude": 0.01})
    return export.Predictor.load(folder)


@pytest.fixture(scope="module")
def address(predictor):
    os.environ["GRADIO_SHARE"] = "true"  # as if the user had asked for a public link
    pytest.importorskip("gradio", reason='Gradio is not installed: pip install "counts-to-bert[demo]"')
    page = export.demo(predictor, examples=["You are a goat."], title="Try <i>me</i>")
    _, address, public = page.launch(server_name="127.0.0.1", share=False, prevent_thread_lock=True, quiet=True)
    yield address
    assert public is None
    page.close()
    del os.environ["GRADIO_SHARE"]


@pytest.fixture
def browser():
    pytest.importorskip("playwright.sync_api")
    try:
        chromium.find()
    except chromium.NoBrowserError as error:
        pytest.skip(str(error))
    with chromium.launch() as browser:
        yield browser


def test_a_person_types_reads_and_moves_a_slider(address, browser, predictor):
    page = browser.new_page(viewport={"width": 1100, "height": 700})
    asked, errors = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address)
    page.locator("#text textarea").fill("What a goat you are")
    cells = page.locator("#answer [role=gridcell]")
    cells.first.wait_for()
    expected = predictor.predict_proba(["What a goat you are"]).iloc[0]
    shown = cells.all_inner_texts()
    assert shown[1::3] == [f"{value:.3f}" for value in expected]
    assert shown[0::3] == LABELS  # as text, not as HTML
    assert shown[2] == "given"
    page.get_by_label("number input for threshold: rude").fill("0.99")
    page.keyboard.press("Tab")
    cell = "document.querySelectorAll('#answer [role=gridcell]')"
    page.wait_for_function(f"{cell}[2].innerText != 'given'")
    assert cells.all_inner_texts()[1] == f"{expected.iloc[0]:.3f}"
    page.get_by_text("You are a goat.").click()
    page.wait_for_function(f"{cell}[1].innerText != '{expected.iloc[0]:.3f}'")
    assert not errors
    elsewhere = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert not elsewhere, elsewhere


def test_only_this_computer_reaches_the_page(address):
    assert address.startswith("http://127.0.0.1:")


@pytest.fixture
def client(address):
    httpx = pytest.importorskip("httpx")
    with httpx.Client(base_url=address, timeout=60) as client:
        yield client


def ask(client, *data, **headers):
    """Ask the page's API, as any program can; returns the kind of the last event and its data."""
    call = client.post("/gradio_api/call/ask", json={"data": data}, headers=headers)
    if call.status_code != 200:
        return call.status_code, call.text
    events = client.get(f"/gradio_api/call/ask/{call.json()['event_id']}").text.strip().split("\n")
    return events[-2].removeprefix("event: "), json.loads(events[-1].removeprefix("data: "))


def test_a_program_gets_the_answer_of_the_predictor(client, predictor):
    kind, (answer,) = ask(client, "What a goat you are", 0.5, 0.5)
    assert kind == "complete"
    expected = predictor.predict_proba(["What a goat you are"]).iloc[0].tolist()
    decisions = ["given" if value >= 0.5 else "–" for value in expected]
    assert answer["headers"] == ["label", "probability", "decision"]
    assert answer["data"] == [list(row) for row in zip(LABELS, expected, decisions, strict=True)]
    for nothing in ("", "   ", None):
        assert ask(client, nothing, 0.5, 0.5)[1][0]["data"] == []


def test_a_threshold_of_never_is_at_the_end_of_its_slider(predictor, address, monkeypatch):
    monkeypatch.setattr(predictor, "thresholds", {"rude": 0.25, LABELS[1]: float("inf")})
    sliders = [block for block in export.demo(predictor).blocks.values() if type(block).__name__ == "Slider"]
    assert [slider.value for slider in sliders] == [0.25, 1.0]


def test_the_server_holds_its_limits_itself(client, predictor, monkeypatch):
    lengths, real = [], export.Predictor.predict_proba
    monkeypatch.setattr(
        export.Predictor, "predict_proba", lambda self, texts: lengths.extend(map(len, texts)) or real(self, texts)
    )
    assert ask(client, "a" * 100_000, 0.5, 0.5)[0] == "complete"
    assert ask(client, "\U0001f410" * 100_000, 0.5, 0.5)[0] == "complete"  # in JSON twelve bytes per goat
    assert lengths == [100_000, 100_000]
    kind, error = ask(client, "a" * 100_001, 0.5, 0.5)
    assert (kind, "100,001 characters; at most 100,000" in str(error)) == ("error", True)
    assert ask(client, ["a" * 60_000, "b" * 60_000], 0.5, 0.5)[0] == "error"
    assert ask(client, "a" * 30_000_000, 0.5, 0.5)[0] == 413
    for bad in (2, -1, "x", None, float("nan")):
        body = json.dumps({"data": ["a", bad, 0.5]})  # httpx would refuse NaN
        call = client.post("/gradio_api/call/ask", content=body, headers={"content-type": "application/json"})
        event = client.get(f"/gradio_api/call/ask/{call.json()['event_id']}").text
        assert "event: error" in event, bad
    assert lengths == [100_000, 100_000]


def test_a_body_without_a_length_is_limited_too(client):
    sent = []

    def chunks():
        for _ in range(300):
            sent.append(1)
            yield b" " * 100_000

    try:
        status = client.post("/gradio_api/call/ask", content=chunks()).status_code
    except Exception as error:  # the server may close the connection before all is sent
        assert "Write" in type(error).__name__ or "Protocol" in type(error).__name__ or "Read" in type(error).__name__
    else:
        assert status == 413


def test_no_file_is_taken(client):
    answer = client.post("/gradio_api/upload", files={"files": ("a.txt", b"a" * 1000)})
    assert answer.status_code >= 400
    assert client.post("/gradio_api/upload", files={"files": ("a.txt", b"a" * 30_000_000)}).status_code >= 400


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:7860", "127.0.0.1.evil.example", "localhost.evil", "[::1", ""]
)
def test_another_host_is_refused(host, client):
    assert ask(client, "a", 0.5, 0.5, host=host)[0] == 400
    for path in ("/", "/config", "/gradio_api/info", "/gradio_api/queue/data?session_hash=1"):
        assert client.get(path, headers={"host": host}).status_code == 400


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1234", "127.0.0.1", "127.0.0.1:7860", "[::1]:7860"])
def test_this_computer_is_not(host, client):
    assert client.get("/config", headers={"host": host}).status_code == 200


def test_a_page_that_is_opened_on_purpose_answers_other_hosts(predictor, address):
    httpx = pytest.importorskip("httpx")
    local = {"share": False, "prevent_thread_lock": True, "quiet": True}
    for options, launch in (({"allowed_hosts": ["lab.example"]}, {}), ({}, {"server_name": "0.0.0.0"})):
        page = export.demo(predictor, **options)
        page.launch(**local, **launch)
        try:
            port = page.server_port
            codes = [
                httpx.get(f"http://127.0.0.1:{port}/config", headers={"host": host}).status_code
                for host in ("localhost", "lab.example:80", "other.example")
            ]
        finally:
            page.close()
        assert codes == ([200, 200, 400] if options else [200, 200, 200])


def test_middleware_of_the_caller_stays(predictor, address):
    httpx, base = pytest.importorskip("httpx"), pytest.importorskip("starlette.middleware.base")
    from starlette.middleware import Middleware
    from starlette.responses import PlainTextResponse

    async def closed(request, call_next):
        return await call_next(request) if request.url.path != "/closed" else PlainTextResponse("mine", 418)

    page = export.demo(predictor)
    own = [Middleware(base.BaseHTTPMiddleware, dispatch=closed)]
    page.launch(app_kwargs={"middleware": own}, share=False, prevent_thread_lock=True, quiet=True)
    try:
        assert httpx.get(f"{page.local_url}closed").status_code == 418
        assert httpx.get(f"{page.local_url}closed", headers={"host": "evil.example"}).status_code == 400
    finally:
        page.close()


def test_a_full_queue_is_refused(predictor, address, monkeypatch):
    """More requests at once than may wait: some are told to come back, none is lost without a word."""
    httpx = pytest.importorskip("httpx")
    import threading

    from helpers.export import demo_page as module

    free, real = threading.Event(), export.Predictor.predict_proba
    monkeypatch.setattr(export.Predictor, "predict_proba", lambda self, texts: free.wait(60) and real(self, texts))
    monkeypatch.setattr(module, "MAX_WAITING", 3)
    page = export.demo(predictor)
    page.launch(share=False, prevent_thread_lock=True, quiet=True)
    try:
        with httpx.Client(base_url=page.local_url, timeout=60) as client:
            calls = [client.post("gradio_api/call/ask", json={"data": ["a", 0.5, 0.5]}) for _ in range(10)]
            free.set()
            assert sorted({call.status_code for call in calls}) == [200, 503]
            taken = [call.json()["event_id"] for call in calls if call.status_code == 200]
            assert 3 <= len(taken) <= 5
            assert all("complete" in client.get(f"gradio_api/call/ask/{event}").text for event in taken)
    finally:
        free.set()
        page.close()
