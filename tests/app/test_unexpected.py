import asyncio
from pathlib import Path

import httpx

from app.main import create_app
from worker.queue import Queue
from worker.settings import Settings
from worker.store import Store


def test_the_unknown_is_a_bare_500(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, broker_url="redis://127.0.0.1:1")
    # A store whose tables were never made fails in the database, with SQL in the message.
    store = Store(settings.database_url)
    queue = Queue(settings)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(
            create_app(settings, store, queue), raise_app_exceptions=False
        )
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.get("/v1/jobs")

    answer = asyncio.run(ask())
    store.close()
    queue.close()
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json().keys() == {"type", "title", "status"}
