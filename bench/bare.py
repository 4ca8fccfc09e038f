"""The least that a service of this kind does: one insert and one LPUSH, by FastAPI.

What `bench.load` measures Trimtab beside; the database and the broker are set as Trimtab's.
"""

import os
import uuid
from typing import Any

import redis
from fastapi import FastAPI
from sqlalchemy import JSON, Column, MetaData, String, Table, insert, select

from worker.store import Store

rows = Table(
    "rows",
    MetaData(),
    Column("id", String(36), primary_key=True),
    Column("body", JSON, nullable=False),
)

app = FastAPI()
store = Store(os.environ["BARE_DATABASE_URL"])
client = redis.Redis.from_url(os.environ["BARE_BROKER_URL"])
with store.writing() as connection:
    rows.metadata.create_all(connection)


@app.post("/rows", status_code=202)
def submit(body: dict[str, Any]) -> dict[str, Any]:
    """Keep it, and say so in the queue."""
    row_id = str(uuid.uuid4())
    with store.writing() as connection:
        connection.execute(insert(rows).values(id=row_id, body=body))
    client.lpush("bare", row_id)
    return {"id": row_id, "body": body}


@app.get("/rows/{row_id}")
def look(row_id: str) -> dict[str, Any]:
    """The row as it was kept."""
    with store.reading() as connection:
        row = connection.execute(select(rows).where(rows.c.id == row_id)).one()
    return {"id": row.id, "body": row.body}
