"""What the course's pages need beyond MyST-NB and the theme: figures' texts, folded solutions, a front page."""

import json
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sphinx.application import Sphinx
    from sphinx.util.typing import ExtensionMetadata

SOLUTIONS = "notebooks/solutions/"
NOTE = """
```{{note}}
These are the solutions. Try [the exercises](../exercises/{name}.ipynb) first; each answer is folded until you open it.
```
"""

_BADGE = re.compile(r"\[!\[([^\]]*)\]\(https?://[^)\s]*\)\]")


def without_badges(text: str) -> str:
    """Turn linked pictures from elsewhere, such as Colab's badge, into links: the site fetches nothing."""
    return _BADGE.sub(r"[\1]", text)


def give_texts(cell: dict) -> None:
    """Hand the text in the metadata key `alt` to MyST-NB, for the pictures that the cell draws.

    Sphinx links a picture with a width to its file, which a phone can zoom; course.css gives it its own width again.
    """
    if text := cell["metadata"].get("alt"):
        cell["metadata"]["mystnb"] = {"image": {"alt": " ".join(text.split()), "width": "100%"}}


def open_attachments(cell: dict) -> None:
    """Put a picture that is attached to a Markdown cell where the cell shows it: MyST-NB knows no `attachment:`."""
    for name, forms in cell.pop("attachments", {}).items():
        kind, data = next(iter(forms.items()))
        cell["source"] = cell["source"].replace(f"attachment:{name}", f"data:{kind};base64,{''.join(data).strip()}")


def fold(cell: dict) -> None:
    """Fold a cell tagged `solution`, code or remark, until the reader asks for it; a hint likewise."""
    tags = cell["metadata"].get("tags", [])
    if "solution" in tags and cell["cell_type"] == "code":
        tags.append("hide-cell")
    elif {"solution", "hint"} & set(tags):
        title = "Hint" if "hint" in tags else "About the solution"
        cell["source"] = f"<details><summary>{title}</summary>\n\n{cell['source']}\n\n</details>"


def prepare(notebook: dict, docname: str) -> dict:
    """Change a notebook, as JSON, for the site; the file that readers download stays as it is."""
    for cell in notebook["cells"]:
        cell["source"] = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            cell["source"] = without_badges(cell["source"])
        give_texts(cell)
        open_attachments(cell)
        if docname.startswith(SOLUTIONS):
            fold(cell)
    if docname.startswith(SOLUTIONS):
        title, _, rest = notebook["cells"][0]["source"].partition("\n")
        note = NOTE.format(name=docname.removeprefix(SOLUTIONS))
        notebook["cells"][0]["source"] = (
            f"{title.replace('Exercises', 'Solutions').replace('exercises', 'solutions')}\n{note}{rest}"
        )
    return notebook


def read_source(app: "Sphinx", docname: str, source: list[str]) -> None:
    """Prepare notebooks, and give the README, the front page, its table of contents: GitHub would show that as code."""
    if docname.startswith("notebooks/"):
        source[0] = json.dumps(prepare(json.loads(source[0]), docname))
        return
    source[0] = without_badges(source[0])
    if docname == app.config.root_doc:
        source[0] += "\n" + Path(app.confdir, "toc.md").read_text(encoding="utf-8")


def copy_front_page(app: "Sphinx", exception: Exception | None) -> None:
    """Servers look for index.html. It lies beside README.html, so every link in it holds."""
    if exception is None and app.builder.format == "html":
        shutil.copyfile(Path(app.outdir, "README.html"), Path(app.outdir, "index.html"))


def setup(app: "Sphinx") -> "ExtensionMetadata":
    """Connect both."""
    app.connect("source-read", read_source)
    app.connect("build-finished", copy_front_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
