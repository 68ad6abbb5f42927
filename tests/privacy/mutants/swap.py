"""Which functions a change to a module changes, where it changes nothing but functions.

What a module does when it is imported is the same then, and the functions of an imported module
can be given other code in their place, wherever they are held.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterable, Iterator, Mapping
from types import CodeType, FunctionType

Place = tuple[str, int]
"""A function of a file: its qualified name and first line."""

_OPTIMIZED = 0x1
"""The flag of a function's code, which a module's and a class's do not have."""


def changed_functions(old: str, new: str) -> dict[Place, CodeType] | None:
    """Return the code of every function of ``new`` by its place in ``old``.

    Nothing where the texts differ in more than bodies of functions: constants of the module or of
    a class, defaults, decorators, signatures.
    """
    before, after = (compile(t, "", "exec", dont_inherit=True) for t in (old, new))
    return dict(_functions(before, after)) if _does_the_same(before, after) else None


def functions_of(paths: Iterable[str]) -> dict[str, list[FunctionType]]:
    """Return all live functions that were written in these files; takes a while."""
    found: dict[str, list[FunctionType]] = {os.path.realpath(path): [] for path in paths}
    real = {path: os.path.realpath(path) for path in _files()}
    for function in _live():
        if (path := real[function.__code__.co_filename]) in found:
            found[path].append(function)
    return found


def swap(functions: Iterable[FunctionType], codes: Mapping[Place, CodeType]) -> None:
    """Give functions their code by their place."""
    for function in functions:
        old = function.__code__
        if (new := codes.get((old.co_qualname, old.co_firstlineno))) is not None:
            function.__code__ = new.replace(co_filename=old.co_filename)


def _live() -> Iterator[FunctionType]:
    return (thing for thing in gc.get_objects() if type(thing) is FunctionType)


def _files() -> set[str]:
    return {function.__code__.co_filename for function in _live()}


def _does_the_same(old: CodeType, new: CodeType) -> bool:
    """Say whether two codes of a module or a class differ in bodies of functions alone."""
    return _outside(old) == _outside(new) and all(
        _signature(a) == _signature(b) if a.co_flags & _OPTIMIZED else _does_the_same(a, b)
        for a, b in zip(_inside(old), _inside(new), strict=True)
    )


def _outside(code: CodeType) -> tuple[object, ...]:
    """Return what a module or a class does, apart from the bodies of what it defines."""
    constants = [
        (const.co_name,) if isinstance(const, CodeType) else (type(const), repr(const))
        for const in code.co_consts
    ]
    return code.co_code, code.co_names, code.co_freevars, code.co_cellvars, constants


def _signature(code: CodeType) -> tuple[object, ...]:
    """Return what a caller and a closure see of a function."""
    count = code.co_argcount + code.co_kwonlyargcount
    return code.co_qualname, code.co_varnames[:count], code.co_argcount, code.co_freevars


def _functions(old: CodeType, new: CodeType) -> Iterator[tuple[Place, CodeType]]:
    """Walk both codes together; a function that was added or taken away is its owner's body."""
    olds, news = _inside(old), _inside(new)
    if [_signature(code) for code in olds] != [_signature(code) for code in news]:
        return
    for before, after in zip(olds, news, strict=True):
        if before.co_flags & _OPTIMIZED:
            yield (before.co_qualname, before.co_firstlineno), after
        yield from _functions(before, after)


def _inside(code: CodeType) -> list[CodeType]:
    return [const for const in code.co_consts if isinstance(const, CodeType)]
