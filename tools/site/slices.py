"""What a cell of a notebook needs of the cells before it: only that is run, not the trainings around it."""

import ast


def program_for(sources, last):
    """The statements that the names in a cell come from, and the cell itself, as one Python program.

    What a cell puts off (the bodies of its own functions and lambdas, such as the truth of a guess) is not looked at.

    Args:
        sources: the texts of a notebook's code cells.
        last: the number of the cell in question.

    Returns:
        (program, value): two texts. ``value`` is the expression that the cell ends with.

    >>> program_for(["import math", "slow = math.factorial(9)", "x = 2", "y = x + 1", "y"], 4)
    ('x = 2\\ny = x + 1', 'y')
    """
    *own, value = ast.parse(sources[last]).body
    if not isinstance(value, ast.Expr):
        raise ValueError(f"sources: expected a cell that ends with a value, got {sources[last]!r}")
    kept, wanted = [], _used(value, at_once=True)
    for statement in reversed(own):
        wanted = (wanted - _bound(statement)) | _used(statement, at_once=True)
        kept.insert(0, statement)
    for statement in [s for source in reversed(sources[:last]) for s in reversed(ast.parse(source).body)]:
        if (_bound(statement) | _changed(statement)) & wanted:
            wanted = (wanted - _bound(statement)) | _used(statement, at_once=False)
            kept.insert(0, statement)
    return "\n".join(map(ast.unparse, kept)), ast.unparse(value)


def _used(statement, at_once):
    """Names that a statement reads; ``at_once``: without the bodies of functions, which are run later if at all."""
    names, later = set(), (ast.FunctionDef, ast.Lambda)
    waiting = [statement]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            names.add(node.id)
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name):  # x += 1 reads x too
            names.add(node.target.id)
        if not (at_once and isinstance(node, later)):
            waiting.extend(ast.iter_child_nodes(node))
    return names


def _bound(statement):
    """Names that a statement gives a value, whatever they were before."""
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return {statement.name}
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).partition(".")[0] for alias in statement.names}
    within = {
        id(node) for part in ast.walk(statement) if isinstance(part, ast.comprehension) for node in ast.walk(part)
    }
    stored = (n for n in ast.walk(statement) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store))
    return {node.id for node in stored if id(node) not in within}


def _changed(statement):
    """Names that a statement sets parts of: ``x.part = …``, ``x[0] = …``."""
    names = set()
    for node in ast.walk(statement):
        if isinstance(node, (ast.Attribute, ast.Subscript)) and isinstance(node.ctx, ast.Store):
            while isinstance(node, (ast.Attribute, ast.Subscript)):
                node = node.value
            names |= {node.id} if isinstance(node, ast.Name) else set()
    return names
