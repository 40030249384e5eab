"""Runs an attempt safely, judges it, shows the verdict and keeps progress; grades notebooks.

What an exercise is: ``exercise``, and its three kinds ``functions``, ``questions`` and ``puzzles``.

The way of an attempt, from ``check`` to the verdict:

1. ``observe`` makes the calls and writes down what happened: in a thread with a ``time_limit``, after a trial in a
   ``killable_copy`` of the process, under ``torch_defaults``. What comes back is ``plain`` data, what is ``printed`` is
   caught, and what is ``raised`` is put into words.
2. ``compare`` says how an answer differs from the right one; ``describe`` says what a value is.
3. ``judge`` makes the verdict on a function, ``judge_answers`` on what is none. ``recognise`` finds the classic mistake
   that explains it (``mistakes``: what one is); ``relations`` knows what all exercises have in common.
4. ``show`` shows it; ``progress`` keeps what was passed. ``safe_text`` is what is shown of a student's own words.

The way of a notebook, from ``stncourse grade`` to the report:

1. ``notebook`` reads the cells, the checks in them, and which exercises there should be.
2. ``notebook_run`` runs them in the student's kernel: ``kernel_process`` starts and ends it, ``kernel_client`` tells it
   what to run, ``kernel`` is the program that runs there.
3. ``noted``, inside the kernel, notes which attempts are checked, and observes them. ``kernel_answers`` reads what it
   wrote, back in the grader's process, where ``judge`` makes the verdict.
4. ``grade`` has all of this done; ``report`` is what comes out.
"""
