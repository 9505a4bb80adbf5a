"""Every public name of `helpers` has an example in its docstring, and every example runs as it stands."""

import doctest
import inspect

import examples_run
import pytest


@pytest.mark.parametrize("module", examples_run.modules())
def test_examples_of(module):
    _, said = examples_run.run(module)
    assert not said, said


def test_every_public_name_has_an_example():
    names = examples_run.public_names()
    assert len(names) > 80
    bare = [name for name, value in names.items() if ">>>" not in (value.__doc__ or "")]
    assert set(bare) == set(examples_run.WITHOUT_EXAMPLE), "give these an example, or take them off the list"


def test_no_public_function_or_method_is_a_generator():
    """Called as a statement it would do nothing, and check nothing, until the first step: an iterator is returned."""
    found = examples_run.public_names()
    found |= {
        f"{name}.{key}": part
        for name, value in list(found.items())
        if inspect.isclass(value)
        for key, part in vars(value).items()
        if not key.startswith("_")
    }
    assert not [name for name, value in found.items() if inspect.isgeneratorfunction(value)]


def test_examples_import_what_they_use():
    """So that they can be copied: no name comes from the module that they stand in."""
    finder = doctest.DocTestFinder()
    for name, value in examples_run.public_names().items():
        for test in finder.find(value, name, globs={}):
            assert not test.examples or "from helpers import" in "".join(e.source for e in test.examples), test.name


def test_an_example_that_is_wrong_is_told(monkeypatch):
    from helpers import text

    monkeypatch.setattr(text.mask, "__doc__", ">>> from helpers import text\n>>> text.mask('You fool')\n'You fool'\n")
    examples, said = examples_run.run("helpers.text")
    assert examples > 2 and "Y** f***" in said and "helpers.text.mask" in said
