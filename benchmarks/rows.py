"""What benchmarks find, written row by row: a kill loses nothing of it."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"

Row = dict[str, Any]


@contextmanager
def written(path: Path) -> Iterator[Callable[[Row], None]]:
    """A function that prints a row and adds it to a file, a line of JSON, at once."""
    with path.open("a", encoding="utf-8") as out:

        def tell(row: Row) -> None:
            line = json.dumps(row, ensure_ascii=False)
            print(line, flush=True)
            out.write(line + "\n")
            out.flush()

        yield tell


@contextmanager
def kept(name: str) -> Iterator[Callable[[Row], None]]:
    """The same for a benchmark that writes its results within, at the end; then the single rows are removed."""
    path = RESULTS / f"{name}.partial.jsonl"
    with written(path) as tell:
        yield tell
    path.unlink()
