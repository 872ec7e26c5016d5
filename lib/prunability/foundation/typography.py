"""How numbers look in words."""

import math
import re

_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def minus(text: str) -> str:
    """Text with true minus signs before its numbers, where a hyphen stood for one."""
    return re.sub(r"(?<![\w.])-(?=\d)", "−", text)


def significant(value: float, digits: int = 3) -> str:
    """A number to so many significant digits: 0.0105, 1,800, and 1.71·10⁸ where it is very large or very small; a
    dash where there is none.
    """
    if not math.isfinite(value):
        return "–" if math.isnan(value) else f"{value:g}".replace("-inf", "−∞").replace("inf", "∞")
    rounded = float(f"{value:.{digits}g}")
    if rounded and not 1e-4 <= abs(rounded) < 1e6:
        mantissa, power = f"{value:.{digits - 1}e}".split("e")
        return minus(f"{mantissa}·10{str(int(power)).translate(_RAISED)}")
    return minus(f"{rounded:,.0f}" if abs(rounded) >= 10 ** (digits - 1) else f"{rounded:#.{digits}g}".rstrip("."))
