# Every recipe runs in the active virtual environment: python -m pip install -e ".[dev]"

# List the recipes.
_default:
    @just --list --unsorted

# Everything that must hold, quickest failure first.
check: static test

# The checks that run no code of ours.
static: lint types imports docs

# Style, and that the formatter has nothing to say.
lint:
    ruff check .
    ruff format --check .

# Both type checkers, and that every public name has a type.
types:
    mypy
    basedpyright
    python .ci/verify_types.py

# Which room may see which.
imports:
    lint-imports --no-logo

# Build the site; every warning is an error.
docs:
    NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

# Repair what the tools can repair.
fix:
    ruff check --fix .
    ruff format .

# The whole suite, in random order; arguments go to pytest.
test *args:
    pytest tests/ {{ args }}

# The suite with branch coverage.
cover:
    coverage erase
    coverage run -m pytest tests/ -q
    coverage combine --quiet
    coverage report

# Properties and models with 10,000 examples each: hours, not minutes.
test-deep *args:
    HYPOTHESIS_PROFILE=deep pytest tests/ --timeout=0 {{ args }}

# Beside a live Go Tasqueue; needs Go, and refuses to skip.
parity *args:
    CI=true pytest tests/parity -v {{ args }}

# Move CI to today's versions of everything.
pin:
    echo "# The set of versions that CI runs with; written by: just pin" > .ci/constraints.txt
    uv pip compile --quiet --universal --python-version 3.11 --extra dev --no-annotate --no-header pyproject.toml >> .ci/constraints.txt

# The site on a local port, rebuilt at each save.
docs-serve:
    NO_MKDOCS_2_WARNING=1 mkdocs serve

# Each deliberate fault in the scripts against the model; ends with how many it found.
mutants *words:
    python -m tests.stateful.mutants {{ words }}

# The whole fault matrix (docs/design/faults.md): real processes, minutes; ends with its figures.
faults *args:
    python -m pytest tests/faults -m "(faults or slow_fault) and not deep" {{ args }}

# What of it lasts for minutes of waiting.
faults-long *args:
    python -m pytest tests/faults -m "slow_fault and deep" {{ args }}

# Every contestant in three short interleaved rounds, at most 10 minutes; needs Go and uv.
bench *args:
    python -m benchmarks.run --rounds 3 --share 0.03 --pings 30 {{ args }}

# The published run, and the scale, fairness and profile runs: an hour on a quiet machine.
bench-full *args:
    python -m benchmarks.run --rounds 5 --share 1 --pings 300 --name full --publish {{ args }}
    python -m benchmarks.scale --publish
    python -m benchmarks.instructions --publish

# Jobs of every kind under kills, stops, a dying server and a bad network; one JSON line.
soak *args:
    python -m tests.faults.soak {{ args }}

# Damaged real messages for the decoders, led by coverage where Atheris is installed; one line of figures.
fuzz *args:
    python -m tests.faults.fuzz --inputs 1000000 {{ args }}
