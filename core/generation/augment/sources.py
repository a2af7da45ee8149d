"""Reading Python source that somebody else wrote."""

import ast
import re
import warnings

from ..code_checks import parses

IDENTIFIER = re.compile(r"[^\W\d]\w*")
INTROSPECTION = {"locals", "vars", "globals", "eval", "exec", "compile", "dir", "inspect", "sys", "ast", "dis"}
INTROSPECTION |= {"signature", "getsource", "_getframe", "f_locals", "co_varnames", "__code__", "__annotations__"}


def parsed(source: str) -> ast.Module | None:
    """The tree of code that compiles; None for other text."""
    if parses(source) is not None:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the code of others
        try:
            return ast.parse(source)
        except (RecursionError, MemoryError):
            return None


def identifiers(*texts: str) -> set[str]:
    """Everything in the texts that could be a name, in strings and comments too."""
    return {name for text in texts for name in IDENTIFIER.findall(text)}


def looks_at_itself(*sources: str) -> bool:
    """Whether code could see its own names or its own source, and do something else when they change."""
    return bool(INTROSPECTION & identifiers(*sources))
