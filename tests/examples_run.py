"""Run the examples of the docstrings of `helpers`: all modules, or those that are named.

It needs nothing but the package, so that it can be run where only the wheel is installed.
"""

import contextlib
import doctest
import importlib
import inspect
import os
import pkgutil
import sys
import tempfile

os.environ |= {"MPLBACKEND": "Agg", "HF_HUB_OFFLINE": "1"}  # no window, no network
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
# A name that a reader calls, or catches, and whose docstring has no example, with the reason.
WITHOUT_EXAMPLE = {
    "helpers.export.demo": "it needs Gradio, an extra, and shows a page",
}


def modules():
    """Names of all modules of the package but `__main__`, which runs a command."""
    package = importlib.import_module("helpers")
    names = [module.name for module in pkgutil.walk_packages(package.__path__, "helpers.")]
    return [name for name in names if not name.endswith("__main__") and "._data" not in name]


def public_names():
    """Functions and classes that a reader imports: {dotted name where it is imported from: the object}."""
    found = {}
    for name in modules():
        if name.count(".") > 1:
            continue  # a file of a folder: what is public of it stands in the folder's __all__
        module = importlib.import_module(name)
        own = [key for key, value in vars(module).items() if getattr(value, "__module__", None) == name]
        for key in getattr(module, "__all__", [key for key in own if not key.startswith("_")]):
            value = getattr(module, key)
            if inspect.isfunction(value) or inspect.isclass(value):
                found[f"{name}.{key}"] = value
    return found


def run(name):
    """Run a module's examples, each in an empty folder and with no name but those that it imports.

    Returns:
        The number of examples, and what failed, in words.
    """
    said, examples = [], 0
    finder, runner = doctest.DocTestFinder(exclude_empty=True), doctest.DocTestRunner(optionflags=OPTIONS)
    for test in finder.find(importlib.import_module(name), name, globs={"__name__": "__main__"}):
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            runner.run(test, out=said.append)
        if "matplotlib.pyplot" in sys.modules:
            sys.modules["matplotlib.pyplot"].close("all")
        examples += len(test.examples)
    return examples, "".join(said)


def main(names):
    """Run the examples of modules; the exit status is 1 where one failed."""
    broken = 0
    for name in names or modules():
        examples, said = run(name)
        broken += bool(said)
        print(said or f"{name}: {examples} lines")
    return int(bool(broken))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
