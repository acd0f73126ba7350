"""A real gateway on a free port, and a client that speaks to it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from gateway.app import Gateway
from gateway.settings import Settings


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, read whole."""

    status: int
    headers: Any
    body: Any


class Api:
    """Calls below `/rest-api/v3`; `gateway` is what answers."""

    def __init__(self, gateway: Gateway, session: aiohttp.ClientSession) -> None:
        self.gateway = gateway
        self.session = session

    async def post(self, path: str, body: Any = None, prefer: str | None = None, data: bytes | None = None) -> Answer:
        """POST with a JSON body (or raw `data`)."""
        headers = {"Prefer": prefer} if prefer is not None else {}
        content = {"data": data} if data is not None else {"json": body}
        url = f"{self.gateway.url}/rest-api/v3{path}"
        async with self.session.post(url, headers=headers, **content) as response:
            return Answer(response.status, response.headers, await response.json(content_type=None))

    async def done(self, path: str, body: Any) -> Answer:
        """As `post`, when the job is done, however long a slow machine takes for it."""
        answer = await self.post(path, body)
        if answer.status == 202:
            job = await self.ended(answer.body["id"])
            assert job["state"] == "DONE", job
            return Answer(200, answer.headers, job["result"])
        assert answer.status == 200, answer.body
        return answer

    async def ended(self, job_id: str) -> Any:
        """The record of a job, once it has come to its end."""
        url = f"{self.gateway.url}/rest-api/v3/jobs/{job_id}"
        while True:
            async with self.session.get(url, headers={"Prefer": "wait=5"}) as response:
                job = await response.json()
            if job["state"] in ("DONE", "FAILED", "CANCELLED"):
                return job

    async def get(self, path: str) -> Answer:
        """GET of any path; the body as JSON if it is JSON, else bytes."""
        async with self.session.get(self.gateway.url + path) as response:
            json_like = "json" in response.content_type
            content = await (response.json() if json_like else response.read())
            return Answer(response.status, response.headers, content)


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Api]:
    """A gateway with these settings, and a client of it."""
    async with Gateway(settings) as gateway, aiohttp.ClientSession() as session:
        yield Api(gateway, session)
