"""How numbers look in words."""

import re


def minus(text: str) -> str:
    """Text with true minus signs before its numbers, where a hyphen stood for one."""
    return re.sub(r"(?<![\w.])-(?=\d)", "−", text)
