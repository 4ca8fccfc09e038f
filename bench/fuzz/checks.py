"""What schemathesis is told of this service, as its hooks.

Beside its own checks there is one of ours: whatever the key of the run is given, jobs, races, runs
and data sets, is asked for with another key at once, and must not be there.
"""

import json
import os
from pathlib import Path
from typing import Any

import httpx
import schemathesis
from schemathesis import Case, CheckContext, HookContext, Response

ADDRESSES = ("/v1/diagnoses/{}", "/v1/races/{}", "/v1/runs/{}", "/v1/datasets/{}")
LONGEST_WAIT_SECONDS = 0.02
"""Nobody works on the jobs of the run as fast as they are made."""

_seen: set[str] = set()
_other = httpx.Client(
    base_url=os.environ["FUZZ_URL"],
    headers={"Authorization": f"Bearer {os.environ['FUZZ_OTHER_KEY']}"},
    timeout=60,
)


@schemathesis.hook
def map_query(context: HookContext, query: dict[str, Any] | None) -> dict[str, Any] | None:
    """Nobody waits; a wait that is refused stays as it is."""
    operation = context.operation
    if operation is None or not any(each.name == "wait" for each in operation.query):
        return query
    query = dict(query or {})
    wait = query.get("wait", LONGEST_WAIT_SECONDS)
    if isinstance(wait, int | float) and 0 <= wait <= 300:
        query["wait"] = min(wait, LONGEST_WAIT_SECONDS)
    return query


@schemathesis.check
def not_there_for_another_key(ctx: CheckContext, response: Response, case: Case[Any]) -> None:
    for found in _ids(response) - _seen:
        _seen.add(found)
        for address in ADDRESSES:
            answer = _other.get(address.format(found))
            assert answer.status_code == 404, f"{address.format(found)} is there for another key"
    Path(os.environ["FUZZ_TALLY"]).write_text(json.dumps({"probed": len(_seen)}))


def _ids(response: Response) -> set[str]:
    """Of everything in the answer that belongs to a key."""
    if not 200 <= response.status_code < 300:
        return set()
    try:
        body = response.json()
    except ValueError:
        return set()
    if not isinstance(body, dict):
        return set()
    listed = [*(body.get("jobs") or ()), *(body.get("datasets") or ()), body]
    return {
        each["id"]
        for each in listed
        if isinstance(each, dict) and isinstance(each.get("id"), str) and "links" in each
    }
