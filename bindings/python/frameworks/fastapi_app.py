"""FastAPI: `uvicorn fastapi_app:app`. When uvicorn is told to stop, the lifespan delivers what waits."""

import asyncio
from contextlib import asynccontextmanager

from events import client, deliver_the_rest, report
from fastapi import FastAPI

from meditopia import MeditopiaError


@asynccontextmanager
async def lifespan(app: FastAPI):
    client()  # a mistake in the options ends the start, and not the first request
    yield
    await asyncio.to_thread(deliver_the_rest)


app = FastAPI(lifespan=lifespan)


@app.get("/watched/{user}/{value}")
async def watched(user: str, value: str):
    # Microseconds, so it may be called in a coroutine; with durability="power" use `await client().aenqueue(...)`.
    return {"queued": report("token-" + user, user, "video", value)}


@app.post("/deliver")
async def deliver():
    try:
        done = await client().aflush(5)
    except MeditopiaError as error:
        return {"error": str(error)}
    return {"delivered": done.delivered}
