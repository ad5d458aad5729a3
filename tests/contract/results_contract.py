"""What every results store keeps true. A back end inherits it and gives the fixture ``results``."""

from tasqueue.core.ports import JOB_KEY, Results


class ResultsContract:
    def test_they_are_results(self, results: Results) -> None:
        assert isinstance(results, Results)

    async def test_what_was_set_is_got(self, results: Results) -> None:
        for data in (b"", b"one", bytes(range(256)), b"x" * 200_000):
            await results.set("a", data)
            assert await results.get("a") == data
        assert await results.get("b") is None

    async def test_the_lists_are_newest_first(self, results: Results) -> None:
        for name in ("a", "b", "c"):
            await results.set_success(name)
            await results.set_failed(name + "!")
        assert await results.get_success() == ["c", "b", "a"]
        assert await results.get_failed() == ["c!", "b!", "a!"]

    async def test_a_job_is_in_a_list_once(self, results: Results) -> None:
        for name in ("a", "b", "a"):
            await results.set_success(name)
        assert await results.get_success() == ["a", "b"]

    async def test_nothing_is_an_empty_list(self, results: Results) -> None:
        assert await results.get_success() == []
        assert await results.get_failed() == []

    async def test_a_deleted_job_leaves_nothing_and_takes_no_other_along(
        self, results: Results
    ) -> None:
        for name in ("1", "a"):
            await results.set(name, b"result")
            await results.set(JOB_KEY + name, b"record")
            await results.set_success(name)
            await results.set_failed(name)
        await results.delete_job("a")
        assert await results.get("a") is None
        assert await results.get(JOB_KEY + "a") is None
        assert await results.get("1") == b"result"
        assert await results.get_success() == ["1"]
        assert await results.get_failed() == ["1"]

    async def test_deleting_what_is_not_there_is_no_error(self, results: Results) -> None:
        await results.delete_job("nobody")
