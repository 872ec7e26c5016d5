"""What configurations are made of: frozen, validated models, and the ranges of their fields."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, le=1)]
Dropout = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Frozen(BaseModel):
    """A configuration: its fields are fixed, checked, and no others are allowed."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
