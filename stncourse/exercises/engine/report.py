"""The report on a graded notebook: what stands in it, and how people read it."""

from stncourse.exercises.engine.safe_text import readable

STATES = ("passed", "failed", "not done", "not reached")


def report_on(name, exercises, run, seconds):
    """The report, a dict that JSON can hold. What comes from the student is text in it: control characters are out.

    Args:
        name: the notebook's.
        exercises: those that it should have.
        run: the NotebookRun.
        seconds: how long it took.
    """
    results = [_result(exercise, run.results.get(exercise.name)) for exercise in exercises]
    return _as_text_only(
        {
            "notebook": name,
            "exercises": results,
            "totals": {state: sum(result["state"] == state for result in results) for state in STATES},
            "errors": run.errors,
            "notes": run.notes,
            "seconds": round(seconds, 1),
        }
    )


def as_text(report):
    """The report for people."""
    marks = dict(zip(STATES, "✓✗○–", strict=True))
    lines = [report["notebook"], ""]
    for result in report["exercises"]:
        mistake = f" (the mistake: {result['mistake']})" if result["mistake"] else ""
        lines.append(f"{marks[result['state']]} {result['name']}: {result['state']}{mistake}")
        if result["state"] != "passed" and result["message"]:
            lines.append(f"    {result['message']}")
    for error in report["errors"]:
        place = f"cell {error['cell']}: " if error["cell"] else ""
        lines.append(f"! {place}{error['error']}: {error['message']}")
    lines += [f"  {note}" for note in report["notes"]]
    totals = ", ".join(f"{count} {state}" for state, count in report["totals"].items())
    return "\n".join([*lines, "", f"{totals}; {report['seconds']:.0f} s", ""])


def _result(exercise, seen):
    """One line of the report. ``seen``: a CheckResult, a sentence on why there is none, or None: no cell was run."""
    line = {"name": exercise.name, "title": exercise.title, "state": "not reached", "message": "", "mistake": None}
    if seen is None or isinstance(seen, str):
        return line | {"message": seen or "No cell that checks it was run."}
    state = {True: "passed", False: "failed", None: "not done"}[seen.passed]
    return line | {"state": state, "message": seen.message, "mistake": seen.mistake}


def _as_text_only(value):
    if isinstance(value, dict):
        return {name: _as_text_only(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_as_text_only(item) for item in value]
    return readable(value) if isinstance(value, str) else value
