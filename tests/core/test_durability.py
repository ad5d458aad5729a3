"""How far a job must have come before an enqueue returns."""

import pytest

from tasqueue.core.durability import check_durability, strongest
from tasqueue.core.errors import ConfigurationError
from tasqueue.core.job import JobOpts


def test_several_jobs_go_by_the_most_that_one_of_them_asks_for() -> None:
    assert strongest({"ack", "fsync", "replica"}) == "fsync"
    assert strongest({"replica", "ack"}) == "replica"
    assert strongest(set()) == "ack"


def test_another_word_is_refused_with_the_words_there_are() -> None:
    assert check_durability("fsync") == "fsync"
    for refused in (lambda: check_durability("disk"), lambda: JobOpts(durability="disk")):  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="'ack', 'replica', 'fsync', not 'disk'"):
            refused()
