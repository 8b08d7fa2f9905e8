"""Assertions of the fakes explain themselves as those of tests do."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("fakes_relay", "fakes_cases")
