"""Move what moves in a notebook, as a hand would, and see that numbers and pictures follow."""

BYTES = """async image => {
  const bytes = await (await fetch(image.src)).arrayBuffer();
  const digest = await crypto.subtle.digest("SHA-256", bytes);
  return [...new Uint8Array(digest)].join(" ");
}"""


class Moving:
    """What an explorer shows: pieces of text, and its picture's bytes."""

    def __init__(self, notebook, name):
        self.notebook = notebook
        self.box = notebook.page.locator(f".explore-{name}").first
        self.box.scroll_into_view_if_needed()

    def find(self, part):
        return self.box.locator(f".explore-{part}").first

    def picture(self):
        return self.find("picture").evaluate(BYTES)

    def after(self, act, *parts):
        """Act; wait until the picture has changed; return what the parts then say."""
        before = self.picture()
        act()
        self.notebook.until(lambda: self.picture() != before, 20, "the picture does not follow")
        return [self.find(part).inner_text().split() for part in parts]


def move_thresholds(notebook, label):
    """Move a label's slider by keyboard and mouse: its row and the totals follow, and the other labels stay.

    Returns:
        The label's row, as it is shown at the end: threshold, precision, recall, F1, found, missed, false alarms.
    """
    shown = Moving(notebook, "thresholds")
    page, row = notebook.page, f"numbers-{label}"
    handle = shown.find(f"slider-{label}").locator(".noUi-handle")
    first = shown.find(row).inner_text().split()
    total = shown.find("micro").inner_text()

    def press():
        handle.focus()
        page.keyboard.press("ArrowRight")
        page.keyboard.press("PageUp")

    (higher,) = shown.after(press, row)
    assert float(higher[0]) > float(first[0])
    assert int(higher[4]) <= int(first[4]) and int(higher[6]) <= int(first[6]), "fewer are found, fewer false alarms"

    def drag():
        box, track = handle.bounding_box(), shown.find(f"slider-{label}").bounding_box()
        page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.mouse.down()
        page.mouse.move(track["x"] + track["width"] / 10, box["y"] + 5, steps=8)
        page.mouse.up()

    (lower,) = shown.after(drag, row)
    notebook.until(lambda: float(shown.find(row).inner_text().split()[0]) < 0.2, 20, "the slider stays")
    notebook.until(notebook.idle, 20, "the kernel is busy")
    lower = shown.find(row).inner_text().split()
    assert int(lower[4].replace(",", "")) >= int(first[4].replace(",", ""))
    assert shown.find("micro").inner_text() != total
    return lower


def choose_labels(notebook, label):
    """Press a label's button and the switch of measures: the picture and the examples follow."""
    shown = Moving(notebook, "together")
    switch = shown.find("measure").locator("button")
    shown.after(shown.find(f"label-{label}").click, "examples")
    assert shown.find("examples").locator("li").count() > 0
    for measure in ("counts", "lift", "shares"):
        shown.after(switch.filter(has_text=measure).click, "measure")
