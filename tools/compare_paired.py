"""Two networks on the same digits, digit by digit: the recorded comparison of notebook 10.

    python tools/compare_paired.py            (needs MNIST; some 15 minutes of one free CPU core)

The cells of the long runs that ship in assets/table1 were trained before runs noted which digits they got wrong. So
column R is trained once more, CNN and ST-CNN Aff, three seeds each, with the small budget "quick" (three epochs), and
the digits are noted. It is what this command does, and its results are what is gathered here:

    python -m stncourse reproduce table1 --budget quick --seeds 3

What is there is not trained again: stop it with Ctrl-C, and the next call goes on.
"""

import argparse
from pathlib import Path

from stncourse import load_digits
from stncourse.paper.cells import write_json
from stncourse.paper.table1 import reproduce

TARGET = Path(__file__).parents[1] / "stncourse" / "assets" / "paired_r.json"
CELLS = [("CNN", "R"), ("ST-CNN Aff", "R")]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", default="table1_quick", help="folder for the runs")
    out = parser.parse_args().out
    train, test = (load_digits(split, source="mnist") for split in ("train", "test"))
    cells = reproduce(train, test, out, CELLS, "quick", 3, "cpu")
    write_json(TARGET, [cells[key] for key in CELLS])


if __name__ == "__main__":
    main()
