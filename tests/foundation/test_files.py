import json
import math
from pathlib import Path

import pytest

from prunability.foundation.files import updated


@pytest.mark.parametrize("before", [None, "", "{ damaged", "[]", "3"])
def test_what_is_no_object_is_taken_for_empty(tmp_path: Path, before: str | None) -> None:
    path = tmp_path / "folder" / "content.json"
    if before is not None:
        path.parent.mkdir()
        path.write_text(before)
    with updated(path) as content:
        assert content == {}
        content["b"], content["a"] = [1, math.nan, math.inf], {"x": 0.1}
    text = path.read_text()
    assert list(json.loads(text)) == ["a", "b"]
    # Strict JSON: there is no word in it for what is no number.
    assert json.loads(text, parse_constant=pytest.fail) == {"a": {"x": 0.1}, "b": [1, None, None]}
    with updated(path) as content:
        assert content["b"] == [1, None, None]
