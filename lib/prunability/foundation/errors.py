"""What is told to a user: mistakes that can be mended, in words."""

from collections.abc import Sequence

from pydantic import ValidationError
from pydantic_core import ErrorDetails


class PrunabilityError(Exception):
    """A mistake that a user can mend; the message says what is wrong and what would be right."""

    def _render_traceback_(self) -> list[str]:
        """What IPython shows in place of the frames that led here."""
        return [f"prunability: {self}"]


class Interrupted(KeyboardInterrupt):
    """Somebody interrupted what goes on where it was left."""

    def _render_traceback_(self) -> list[str]:
        return [
            "prunability: interrupted. Finished runs are kept: run the cell again, and it goes on with the rest."
        ]


def explain(error: ValidationError) -> str:
    """In a readable line: each field that a validation refused, five at most."""
    more = error.error_count() - 5
    return "; ".join(map(_refused, error.errors()[:5])) + (f"; and {more} more" if more > 0 else "")


def _refused(item: ErrorDetails) -> str:
    where = ".".join(str(part) for part in item["loc"])
    words = f"{where}: {item['msg']}" if where else item["msg"]
    # Our own words name what was got; of a field that is missing, the input is all that stands beside it.
    if item["type"] == "value_error":
        return words.replace("Value error, ", "", 1)
    return words if item["type"] == "missing" else f"{words} (got {item['input']!r:.100})"


def shown(name: str) -> str:
    """A name of anything in one line that can be written as UTF-8, whatever characters are in it."""
    if name.isprintable():
        return name
    return "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in name)


def few(head: str, lines: Sequence[str], rest: str = "") -> list[str]:
    """A heading and a line each, five at most; one alone stands behind the heading."""
    if len(lines) < 2:
        return [f"{head} {line}" for line in lines]
    more = [f"and {len(lines) - 5} more{rest}"] if len(lines) > 5 else []
    return [head, *lines[:5], *more]
