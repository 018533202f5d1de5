"""Print one JSON object a benchmark: `python -m tests.benchmarks [NAME ...]`; without names all of them."""

from __future__ import annotations

import json
import sys

from tests.benchmarks.cases import BENCHMARKS


def main(names: list[str]) -> int:
    """Run the named benchmarks; tell which ones exist if a name is wrong."""
    unknown = sorted(set(names) - BENCHMARKS.keys())
    if unknown:
        sys.stderr.write(f"no benchmark {', '.join(unknown)}; there are {', '.join(sorted(BENCHMARKS))}\n")
        return 2
    for name in names or sorted(BENCHMARKS):
        sys.stdout.write(json.dumps({"name": name, **BENCHMARKS[name]().as_dict()}) + "\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
