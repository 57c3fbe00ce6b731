"""What the evaluation data says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def oracles(shared: Path) -> Path:
    """Inputs whose answers are known."""
    return shared / "data/oracles"


@pytest.fixture
def answers(oracles: Path) -> dict[str, Any]:
    """The answers."""
    found: dict[str, Any] = json.loads((oracles / "expected.json").read_text(encoding="utf-8"))
    return found
