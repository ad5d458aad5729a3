"""The first five minutes: jobs, a group and a chain, with no server and no second terminal.

Run it: python examples/quickstart.py

`App()` without an address keeps its queue in memory and runs a worker inside this process. Set
TASQUEUE_URL to a Redis, start `tasqueue worker quickstart:app` in this folder, and the same code
works across processes.
"""

from tasqueue import App

app = App()


@app.task(retries=3, timeout=30)
def add(a: int, b: int) -> int:
    return a + b


@app.task
async def describe(total: int, unit: str = "apples") -> str:
    return f"{total} {unit}"


def main() -> None:
    job = add.delay(1, 2)
    print(f"add(1, 2)        -> {job.get(timeout=5)}   (job {job.id}: {job.status()})")

    group = add.group([(1, 2), (3, 4), (5, 6)]).delay()
    print(f"three at a time  -> {group.get(timeout=5)}")

    chain = add.s(1, 2).then(add, 10).then(describe, "pears").delay()
    print(f"one by one       -> {chain.get(timeout=5)}")


if __name__ == "__main__":
    main()
