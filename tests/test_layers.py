"""Modules of helpers import only from layers below them, and no two files share a name."""

import ast
from pathlib import Path

import pytest

import helpers

PACKAGE = Path(helpers.__file__).parent
LAYERS = [
    "arguments",
    "folders",
    "config",
    "tagger_settings text",
    "losses metrics datasets",
    "evaluation models",
    "loaders",
    "loops",
    "tagging export explain",
    "plots",
    "widgets",
    "__main__",
]
LAYER = {module: number for number, modules in enumerate(LAYERS) for module in modules.split()}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def imported(tree):
    """Modules of helpers that a file imports, also within functions; not for type checkers alone."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        if isinstance(node, ast.ImportFrom) and node.module == "helpers":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("helpers."):
            yield node.module.split(".")[1]
        elif isinstance(node, ast.Import):
            yield from (alias.name.split(".")[1] for alias in node.names if alias.name.startswith("helpers."))
        yield from imported(node)


def test_every_module_has_a_layer():
    modules = {path.relative_to(PACKAGE).parts[0].removesuffix(".py") for path in FILES}
    assert modules == set(LAYER)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_from_layers_below(path):
    module = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    others = set(imported(ast.parse(path.read_text(encoding="utf-8")))) - {module}
    assert {other: LAYER[other] for other in others if LAYER[other] >= LAYER[module]} == {}


def test_an_import_in_a_function_counts_and_one_for_type_checkers_does_not():
    code = "if TYPE_CHECKING:\n    from helpers import loops\ndef f():\n    from helpers.export.onnx import to_onnx\n"
    assert list(imported(ast.parse(code + "import helpers.plots.style\n"))) == ["export", "plots"]


def test_no_two_files_have_the_same_name_and_none_is_long():
    names = [path.name for path in FILES if path.name != "__init__.py"]
    assert sorted(names) == sorted(set(names))
    assert {path.name: lines for path in FILES if (lines := len(path.read_text().splitlines())) > 400} == {}
