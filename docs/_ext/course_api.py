"""The directive `public-names`: a module of `helpers` with a table of its public names, and each name's docstring."""

import importlib
import inspect
from types import ModuleType

from docutils import nodes
from docutils.statemachine import StringList
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective
from sphinx.util.typing import ExtensionMetadata


def public_names(module: ModuleType) -> dict[str, str]:
    """Return {name: directive of autodoc} for the functions and classes that a module exports, in its order.

    Without `__all__`, these are the ones defined in the module itself whose names have no leading underscore. A module
    that is exported comes with its own names, such as `backbones.MLP`.
    """
    own = [name for name, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
    names = getattr(module, "__all__", [name for name in own if not name.startswith("_")])
    result = {}
    for name in names:
        value = getattr(module, name)
        if inspect.isclass(value):
            result[name] = "autoexception" if issubclass(value, BaseException) else "autoclass"
        elif inspect.isroutine(value):
            result[name] = "autofunction"
        elif inspect.ismodule(value):
            result |= {f"{name}.{inner}": directive for inner, directive in public_names(value).items()}
    return result


class PublicNames(SphinxDirective):
    """`.. public-names:: helpers.metrics` writes the page of a module."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        """Return the module's docstring, the table, and the entries."""
        module = importlib.import_module(self.arguments[0])
        names = public_names(module)
        lines = [
            f".. automodule:: {module.__name__}",
            "   :no-members:",
            "",
            ".. autosummary::",
            "   :nosignatures:",
            "",
        ]
        lines += [f"   {name}" for name in names]
        for name, directive in names.items():
            lines += ["", f".. {directive}:: {module.__name__}.{name}"]
            lines += ["   :members:"] if directive == "autoclass" else []
        parent = nodes.Element()
        self.state.nested_parse(StringList([*lines, ""], source=module.__file__), self.content_offset, parent)
        return parent.children


def skip_borrowed(_app: Sphinx, _what: str, _name: str, member: object, _skip: bool, _options: object) -> bool | None:
    """Leave out methods that another library puts into our classes, such as scikit-learn's `set_fit_request`."""
    from_here = (getattr(member, "__module__", None) or "helpers").startswith("helpers")
    return None if from_here else True


def setup(app: Sphinx) -> ExtensionMetadata:
    """Add the directive."""
    app.add_directive("public-names", PublicNames)
    app.connect("autodoc-skip-member", skip_borrowed)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
