"""Sphinx builds the course as a static site from the notebooks, the Markdown files and the docstrings: `make book`.

The source folder is the repository itself, so that a link between two files is the same on the site, on GitHub and in
JupyterLab. No page asks the network for anything: styles, scripts, icons and formulas are in the site.
"""

import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "docs" / "_ext"), str(ROOT)]
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
ADDRESS = SETTINGS["tool"].get("counts-to-bert", {})

project = "From Counts to BERT"
release = version = SETTINGS["project"]["version"]
copyright = "the authors: code MIT, texts and authored data CC BY 4.0"
extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "course_api",
    "course_math",
    "course_pages",
]

root_doc = "README"
include_patterns = ["*.md", "benchmarks/RESULTS.md", "data/README.md", "docs/**.md", "notebooks/**.ipynb"]
exclude_patterns = [".*", "**/.*", "build", "helpers", "scripts", "tools", "tests", "runs", "*.egg-info", "docs/toc.md"]
nitpicky = True
# Offline, the libraries' own pages cannot be looked up. Names of this course must resolve, but for types of its inner
# modules that nobody makes by hand: they have no entry.
nitpick_ignore_regex = [("py:.*", r"(?!helpers\b).*"), ("py:class", r"helpers\.\w+\.\w+\.\w+")]

# ---------------------------------------------------------------- notebooks and Markdown

nb_execution_mode = "off"
nb_merge_streams = True
nb_output_stderr = "error"
nb_ipywidgets_js = {}
nb_mime_priority_overrides = [("html", "application/vnd.jupyter.widget-view+json", None)]
nb_code_prompt_show = "Show the solution"
nb_code_prompt_hide = "Hide the solution"
myst_enable_extensions = ["colon_fence", "dollarmath"]
myst_heading_anchors = 3

# ---------------------------------------------------------------- docstrings

default_role = "literal"
autosummary_generate = False
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True

# ---------------------------------------------------------------- the site

html_theme = "sphinx_book_theme"
html_title = project
html_static_path = ["_static"]
html_css_files = ["course.css"]
html_favicon = "_static/favicon.svg"
html_math_renderer = "mathml"
html_context = {"default_mode": "auto"}
html_theme_options = {
    "navbar_start": [],
    "navbar_center": [],
    "navbar_end": [],
    "navbar_persistent": [],
    "logo": {"text": project},
    "home_page_in_toc": True,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "pygments_light_style": "a11y-light",
    "pygments_dark_style": "a11y-dark",
    "search_bar_text": "Search the course",
}
if ADDRESS.get("repository"):
    html_theme_options |= {
        "repository_url": f"https://github.com/{ADDRESS['repository']}",
        "repository_branch": ADDRESS["branch"],
        "use_repository_button": True,
        "use_issues_button": True,
        "use_source_button": True,
        "launch_buttons": {"colab_url": "https://colab.research.google.com"},
    }
copybutton_exclude = ".linenos, .gp, .go"
