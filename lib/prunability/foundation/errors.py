"""What is told to a user: mistakes that can be mended, in words."""

from pydantic import ValidationError


class PrunabilityError(Exception):
    """A mistake that a user can mend; the message says what is wrong and what would be right."""


def explain(error: ValidationError) -> str:
    """One readable line for each field that a validation refused."""
    return "; ".join(
        f"{'.'.join(str(part) for part in item['loc']) or 'value'}: {item['msg']} (got {item['input']!r})"
        for item in error.errors()
    )
