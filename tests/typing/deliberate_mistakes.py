"""Mistakes on purpose: both checkers must report each marked line, and no other."""

from tasqueue import App, JobContext

app = App("memory://")


@app.task
def add(a: int, b: int) -> int:
    return a + b


@app.task(queue="math", retries=3)
async def scaled(value: float, by: float = 1.0) -> float:
    return value * by


@app.task
def shout(text: str) -> str:
    return text


@app.task
def three(a: int, b: int, c: int) -> int:
    return a


@app.task
def total(values: list[int]) -> int:
    return sum(values)


@app.task
def with_context(ctx: JobContext, word: str) -> str:
    return word


@app.task
def object_first(value: object, times: int) -> str:
    return str(value) * times


add.delay(1, "2")  # wrong: type
add.delay(1)  # wrong: missing
add.delay(1, 2, 3)  # wrong: too many
add.delay(1, c=2)  # wrong: unknown name
add("1", 2)  # wrong: the plain function too
add.using(queue="x").delay(1, "2")  # wrong: through options
add.using(queu="x").delay(1, 2)  # wrong: misspelt option
add.using(retries="3").delay(1, 2)  # wrong: option's type
add.s(1)  # wrong: missing, in a signature
add.s(1, "2")  # wrong: type, in a signature
add.partial("2")  # wrong: type, in a partial
add.partial(1, 2)  # wrong: too many, in a partial
scaled.delay("x")  # wrong: type, async
scaled.delay(1.0, bye=2.0)  # wrong: misspelt name, async
with_context.delay()  # wrong: missing beside the context
with_context.delay(1)  # wrong: type beside the context
object_first.delay()  # wrong: both missing
object_first.delay(1)  # wrong: second missing
object_first.delay(1, "x")  # wrong: second's type


@app.task(retrys=3)  # wrong: misspelt task option
def misspelt(a: int) -> int:
    return a


@app.task(executor="fiber")  # wrong: no such executor
def fibrous(a: int) -> int:
    return a


@app.task(queue=3)  # wrong: queue's type
def misplaced(a: int) -> int:
    return a


@app.task(retries="3")  # wrong: task option's type
def mistyped(a: int) -> int:
    return a


add.s(1, 2).then(shout)  # wrong: an int for a text
add.s(1, 2).then(add)  # wrong: b is missing
add.s(1, 2).then(add, "3")  # wrong: b's type
add.s(1, 2).then(three, 1)  # wrong: c is missing
add.s(1, 2).then(add, 3, 4)  # wrong: too many
add.s(1, 2).then(shout.partial())  # wrong: an int for a text, in a partial
add.s(1, 2) | shout  # wrong: an int for a text, as sugar
add.s(1, 2) | shout.partial()  # wrong: the same in a partial
add.s(1, 2) | add  # wrong: b is missing, as sugar
add.then(shout)  # wrong: add itself lacks b
scaled.then(shout)  # wrong: a float for a text, before it starts
scaled.then(scaled, by="x")  # wrong: by's type
scaled | shout  # wrong: the same as sugar
scaled.then(scaled).delay()  # wrong: nobody gives the first argument
scaled.partial(2.0).delay()  # wrong: the same for a partial
shout.partial().then(scaled)  # wrong: a text for a float
add.s(1, 2).then(scaled.then(scaled), 3)  # wrong: arguments for a link that has its own
add.s(1, 2).then(add.delay(1, 2))  # wrong: a handle is no link
add.s(1, 2).then(len)  # wrong: neither is a function
add.delay(1, 2).then(scaled)  # wrong: what was sent goes on its own
app.chain(add.s(1, 2), shout)  # wrong: an int for a text, in a chain
app.chain(add.s(1, 2), add)  # wrong: b is missing, in a chain
app.group(add)  # wrong: a task is no call
app.group(add.delay(1, 2))  # wrong: neither is a handle
app.group(add.s(1, 2), on_failure="stop")  # wrong: no such policy
add.group([(1, 2)], on_failure="continue").then(total)  # wrong: errors are no numbers
add.s(1, 2).on_error(shout)  # wrong: a task is no signature
add.chain((1, 2), shout).delay().get() + 1  # wrong: a text and a number
add.group([(1, 2)]).then(shout)  # wrong: a list for a text
add.group([(1, 2)]).then(add, 1)  # wrong: a list for a number
app.group(shout.s("x")).then(total)  # wrong: list[str] for list[int]
add.group([1, 2])  # wrong: no tuples
add.delay_many([1, 2])  # wrong: no tuples either
shout.delay("x").get() + 1  # wrong: result type
add.delay(1, 2).gett()  # wrong: no such method
total.delay(["x"])  # wrong: inside a list
add.delay(1, 2).get("5")  # wrong: timeout's type
add.delay(1, 2).get(timout=5)  # wrong: misspelt timeout
add.job(7)  # wrong: an ID is a text
add.using(eta="tomorrow").delay(1, 2)  # wrong: no datetime
add.using(durability="disk").delay(1, 2)  # wrong: no such durability
add.using(id="x", if_absent="yes").delay(1, 2)  # wrong: no bool
App("redis://x", durability="disk")  # wrong: the same for an app
add.using(priority="high").delay(1, 2)  # wrong: no such option yet
app.send(to="x")  # wrong: no name
App(7)  # wrong: a URL is a text
App(url_="redis://x")  # wrong: misspelt


async def forgotten() -> None:
    await add.delay(1, 2)  # wrong: not awaitable
    (await add.adelay(1, 2)).aget() + 1  # wrong: a forgotten await
    add.adelay(1, 2).get()  # wrong: another
    (await add.adelay(1, "2")).id  # wrong: type, awaited
