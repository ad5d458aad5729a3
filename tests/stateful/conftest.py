"""Assertions of the machines show their values, as those of tests do."""

import pytest

pytest.register_assert_rewrite("tests.stateful.redis_machine")
