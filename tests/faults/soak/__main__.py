"""The command line of the soak: one JSON line at the end, and a page of all kept runs."""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tests.faults.soak.page import RUNS, write_page
from tests.faults.soak.run import Plan, soak


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak")
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--kills", type=int, default=20, help="kill -9 of worker processes")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--go", action="store_true", help="a Go worker and producer beside ours")
    parser.add_argument("--delays", action="store_true", help="with --go: ETAs, retries that wait")
    parser.add_argument("--poison", type=int, default=0, help="jobs that kill their process")
    parser.add_argument("--keep", action="store_true", help="add this run to the docs' page")
    flags = parser.parse_args()
    asked = vars(flags)
    keep = asked.pop("keep")
    plan = Plan(**asked)
    with tempfile.TemporaryDirectory(prefix="tasqueue-soak-") as folder:
        report = soak(plan, Path(folder))
    line = json.dumps(report)
    if keep:
        with RUNS.open("a") as file:
            file.write(line + "\n")
        write_page()
    sys.stdout.write(line + "\n")
    bad = ["lost", "twice_by_us_alone", "wrong"] + ["twice_beside_go"] * (not plan.delays)
    return 1 if any(report[name] for name in bad) else 0


if __name__ == "__main__":
    sys.exit(main())
