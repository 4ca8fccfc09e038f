import asyncio
from pathlib import Path

import httpx

from app.main import create_app
from worker.queue import Queue
from worker.settings import Settings
from worker.store import Store


def test_the_unknown_is_a_bare_500(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, broker_url="redis://127.0.0.1:1")
    store = Store(settings.database_url)
    store.migrate()
    queue = Queue(settings)
    app = create_app(settings, store, queue)
    # A slip of ours, whose message would tell what is here.
    app.state.store = "no store"

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as client:
            return await client.get("/v1/jobs")

    answer = asyncio.run(ask())
    store.close()
    queue.close()
    assert answer.status_code == 500
    assert "no store" not in answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json().keys() == {"type", "title", "status"}
