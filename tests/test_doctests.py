"""The examples in docstrings are true."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import tradelake

MODULES = sorted(
    module.name for module in pkgutil.walk_packages(tradelake.__path__, prefix="tradelake.")
)


def test_examples_are_found_in_the_package():
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = sum(
        bool(test.examples)
        for name in MODULES
        for test in finder.find(importlib.import_module(name))
    )
    assert found > 30


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module_answer_what_they_say(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


@pytest.mark.parametrize("name", MODULES)
def test_examples_of_a_module_are_prompts_on_lines_of_their_own(name):
    finder = doctest.DocTestFinder(exclude_empty=False)
    for test in finder.find(importlib.import_module(name)):
        lines = (test.docstring or "").splitlines()
        assert [line for line in lines if ">>>" in line.strip()[1:]] == []
