"""Where the time goes in a worker or in ``.delay()``: ``python -m benchmarks.profile_worker``."""

from __future__ import annotations

import argparse
import asyncio
import cProfile
import pstats

from benchmarks.server import running
from tasqueue import App


async def _drain(app: App, slots: int, jobs: int) -> None:
    app.server.limit(concurrency=slots)
    serving = asyncio.create_task(app.server.start())
    await _until(app, jobs)
    await app.server.stop()
    await serving


async def _until(app: App, jobs: int) -> None:
    while len(await app.server.get_success()) < jobs:  # noqa: ASYNC110 -- a record in a store
        await asyncio.sleep(0.5)


def _app(url: str, *, threads: bool) -> App:
    app = App(url)

    async def add(a: int, b: int) -> int:
        return a + b

    def plain(a: int, b: int) -> int:
        return a + b

    app.task(name="add")(plain if threads else add)
    return app


def main() -> None:
    """Work under cProfile, and print what took longest by itself, and with all that it calls."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--slots", type=int, default=16)
    parser.add_argument("--threads", action="store_true")
    parser.add_argument("--delay", action="store_true", help="profile .delay() instead")
    asked = parser.parse_args()
    with running() as server:
        app = _app(f"redis://127.0.0.1:{server.port}/0", threads=asked.threads)
        profile = cProfile.Profile()
        add = app.tasks["add"]
        if asked.delay:
            add.delay(0, 1)
            profile.enable()
            for number in range(asked.jobs):
                add.delay(number, 1)
            profile.disable()
        else:
            add.delay_many([(number, 1) for number in range(asked.jobs)])
            profile.runcall(asyncio.run, _drain(app, asked.slots, asked.jobs))
    for order in ("tottime", "cumtime"):
        pstats.Stats(profile).strip_dirs().sort_stats(order).print_stats(28)


if __name__ == "__main__":
    main()
