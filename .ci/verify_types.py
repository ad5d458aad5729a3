"""Ask basedpyright whether every public name of the package has a known type."""

import json
import subprocess
import sys


def main() -> int:
    """Print one line of figures; 0 only if all symbols are typed and there were some."""
    run = subprocess.run(
        ["basedpyright", "--verifytypes", "tasqueue", "--ignoreexternal", "--outputjson"],  # noqa: S607 - the tool of the active environment
        capture_output=True,
        text=True,
        check=False,
    )
    report = json.loads(run.stdout)["typeCompleteness"]
    counts = report["exportedSymbolCounts"]
    typed, total = counts["withKnownType"], sum(counts.values())
    for symbol in report["symbols"]:
        if symbol["isExported"] and not symbol["isTypeKnown"]:
            for finding in symbol["diagnostics"]:
                print(f"{symbol['name']}: {finding['message']}")
    print(f"verifytypes: {typed} of {total} public symbols have a known type")
    return 0 if 0 < typed == total else 1


if __name__ == "__main__":
    sys.exit(main())
