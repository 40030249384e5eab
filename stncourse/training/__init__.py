"""Training by a recipe, and the record it leaves.

In the order of a training: ``recipes`` and the ``optimizer`` that they ask for; the ``objective``, what is minimised
and measured; ``fit``, with the loop, and ``run``, with one step of it, whose ``first_batch`` shows whether the model
keeps the ``contract``; ``history`` and ``saved_run``, what is left at the end of an epoch; ``evaluation``,
``prediction`` and ``diagnosis``, how good it is, what it says, what went wrong.
"""
