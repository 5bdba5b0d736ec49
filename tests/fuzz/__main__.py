"""``python -m tests.fuzz [answers] [seed]``: random answers through all readers, and a figure of what came of them."""

from __future__ import annotations

import argparse
import time

from tests.fuzz.readers import Questions

ROUND = 50_000


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("answers", nargs="?", type=int, default=1_000_000, help="how many (1,000,000)")
    parser.add_argument("seed", nargs="?", type=int, default=0, help="another one asks and answers differently (0)")
    wanted = parser.parse_args()
    questions, began = Questions(wanted.seed), time.monotonic()
    while questions.answers < wanted.answers:
        questions.ask(min(wanted.answers, questions.answers + ROUND))
        print(f"{questions.answers:,} answers in {time.monotonic() - began:.0f} s", flush=True)
    for what, count in questions.seen.most_common():
        print(f"  {count:>9,} {what}")
    print("All errors were this package's own, no success was wrong, all texts were clean.")


if __name__ == "__main__":
    main()
