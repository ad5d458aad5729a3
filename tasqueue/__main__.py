"""``python -m tasqueue`` is the command line."""

import sys

from tasqueue.cli import main

if __name__ == "__main__":
    sys.exit(main())
