"""Signing in with a key, out again, and the list of keys."""

from fastapi import APIRouter, Request, Response
from starlette.concurrency import run_in_threadpool

from app.auth import Doorkeeper, admit
from app.deps import StoreDep
from app.pages.forms import one, read_form
from app.pages.page import PageRoute, page, see_other
from worker import keys
from worker.keys import Scope

router = APIRouter(route_class=PageRoute, include_in_schema=False)


@router.get("/sign-in")
def sign_in_page(request: Request, there: str = "/") -> Response:
    """The form in which a key is pasted."""
    return page(request, "sign_in.html", there=_own(there), wrong=False)


@router.post("/sign-in")
async def sign_in(request: Request) -> Response:
    """A session for the key; or the form once more."""
    form = await read_form(request)
    there = _own(one(form, "there"))
    answer = see_other(there)
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    if await run_in_threadpool(doorkeeper.sign_in, request, answer, one(form, "key")):
        return answer
    return page(request, "sign_in.html", 401, there=there, wrong=True)


@router.post("/sign-out")
def sign_out(request: Request) -> Response:
    """End the session."""
    answer = see_other("/sign-in")
    request.app.state.doorkeeper.sign_out(request, answer)
    return answer


@router.get("/keys")
def keys_page(request: Request, store: StoreDep) -> Response:
    """All keys, for those who may see everything."""
    request.state.visitor = admit(request, Scope.ADMIN)
    return page(request, "keys.html", keys=keys.every(store))


def _own(there: str) -> str:
    """A path of this service, whatever was asked for: nobody is led elsewhere."""
    plain = there.startswith("/") and not there.startswith(("//", "/\\")) and there.isprintable()
    return there if plain else "/"
