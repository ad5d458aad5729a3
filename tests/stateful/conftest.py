"""Assertions of the machines show their values, as those of tests do."""

import pytest

pytest.register_assert_rewrite(
    *[f"tests.stateful.redis_{part}" for part in ("model", "clients", "jobs", "machine")]
)
