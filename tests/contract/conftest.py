"""Assertions of the contracts show their values, as those of tests do."""

import pytest

pytest.register_assert_rewrite(
    *[f"tests.contract.{face}_contract" for face in ("broker", "lease", "results", "store")]
)
