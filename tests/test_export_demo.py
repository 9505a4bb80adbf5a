"""The page in a real browser: Chromium types, reads, and moves a slider."""

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
    os.environ["GRADIO_SHARE"] = "true"  # as if somebody had asked for the world
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
    cells = page.locator("#answer td:nth-of-type(2)")
    cells.first.wait_for()
    expected = predictor.predict(["What a goat you are"]).iloc[0]
    assert cells.all_inner_texts() == [f"{value:.3f}" for value in expected]
    assert page.locator("#answer th").all_inner_texts() == LABELS  # as text, not as HTML
    verdict = page.locator("#answer td:nth-of-type(3)").first
    assert verdict.inner_text() == "given"
    page.get_by_label("number input for rude").fill("0.99")
    page.keyboard.press("Tab")
    page.wait_for_function("document.querySelector('#answer td:nth-of-type(3)').innerText != 'given'")
    assert cells.all_inner_texts() == [f"{value:.3f}" for value in expected]
    page.get_by_text("You are a goat.").click()
    page.wait_for_function(f"document.querySelector('#answer td:nth-of-type(2)').innerText != '{expected.iloc[0]:.3f}'")
    assert not errors
    elsewhere = [url for url in asked if not url.startswith((address, "data:", "blob:"))]
    assert not elsewhere, elsewhere


def test_only_this_computer_reaches_the_page(address):
    assert address.startswith("http://127.0.0.1:")
