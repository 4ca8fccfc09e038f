"""Who is asking: a key in the `Authorization` header, a browser's session, or whoever may reach a
service that needs no key.

    key        Authorization: Bearer tt_...; everything that the key's scopes allow
    session    the cookie `trimtab_session`, which a page gives for a key; the same, but other
               sites cannot make a browser change anything in its name
    operator   no key is needed: on a loopback address, while no key was ever made

`caller` is the dependency of every route below ``/v1``. A GET needs the scope `read`, everything
else `submit`. Jobs and data sets belong to the key that they were made with: for every other key,
unless its scope is `admin`, they are not there.

Pages call `admit`, and `sign_in` and `sign_out` around a form in which a key is pasted.
"""

import ipaddress
import math
import time
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import Depends, Request, Response
from fastapi.openapi.models import HTTPBearer as HTTPBearerModel
from fastapi.security.base import SecurityBase
from limits import RateLimitItem, parse
from limits.storage import MemoryStorage
from limits.strategies import SlidingWindowCounterRateLimiter
from starlette.concurrency import run_in_threadpool

from app.problems import (
    CROSS_ORIGIN,
    KEY_NEEDED,
    RATE_LIMITED,
    SCOPE_MISSING,
    ProblemError,
)
from worker import keys
from worker.keys import NOBODY, Key, Scope
from worker.requester import Requester
from worker.settings import RequireKey, Settings
from worker.store import Store
from worker.telemetry import current_traceparent

SESSION_COOKIE = "trimtab_session"
SESSION_SECONDS = 12 * 3600.0
SAFE_METHODS = ("GET", "HEAD")
"""That change nothing."""
WRONG_KEYS = parse("30/minute")
"""That one address may try, after which it hears nothing more of them."""
NO_KEY_SECONDS = 1.0
"""For which it is remembered that there is no key."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who is asking, and what they may."""

    key_id: str
    """Marks what they make; `NOBODY` where no key is needed."""
    name: str
    """Of the key."""
    scopes: frozenset[Scope]
    counted_as: str
    """Their key or, where none is needed, their address."""
    requester: Requester
    """The same for those who write jobs down."""

    @property
    def sees_all(self) -> bool:
        """Whether what belongs to others is there for them."""
        return Scope.ADMIN in self.scopes

    def sees(self, key_id: str) -> bool:
        """Whether what is marked with `key_id` is there for them."""
        return self.sees_all or key_id == self.key_id

    def may(self, scope: Scope) -> bool:
        return scope in self.scopes or Scope.ADMIN in self.scopes


class Doorkeeper:
    """Lets callers in, one app's."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._settings = settings
        self._rates = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._rate = _parsed(settings.rate_limit)
        self._submit_rate = _parsed(settings.submit_rate_limit)
        self._no_key_until = 0.0
        self._key_exists = False

    def admit(self, request: Request, scope: Scope) -> Caller:
        """Who sends the request, if they may.

        Raises:
            ProblemError: 401 they show no key that opens anything, 403 theirs does not allow this,
                or the request is another site's, 429 they ask too often.
        """
        presented = request.headers.getlist("authorization")
        who: Key | None
        if presented:
            who = self._by_key(presented, _address(request))
        else:
            found = self._by_session(request)
            if found is None and self._needs_key():
                raise _key_needed("This needs a key, in the header Authorization: Bearer KEY.")
            if found is None and self._settings.require_key is RequireKey.AUTO:
                _refuse_other_hosts(request)
            if request.method not in SAFE_METHODS:
                _refuse_other_sites(request, browser=found is not None)
            who = found
        caller = self._caller(who, request)
        self._count(caller, request)
        if not caller.may(scope):
            raise ProblemError(
                SCOPE_MISSING.problem(
                    f"The key does not have the scope {scope}. An operator makes one that has with "
                    f"trimtab keys create NAME --scope {scope}."
                )
            )
        return caller

    def looks_up(self, request: Request) -> bool:
        """Whether to admit this request takes a look into the database."""
        shown = "authorization" in request.headers or SESSION_COOKIE in request.cookies
        return shown or (not self._key_exists and time.monotonic() >= self._no_key_until)

    def sign_in(self, request: Request, response: Response, key: str) -> bool:
        """Give the browser a session for a key that was pasted; False if it opens nothing.

        Raises:
            ProblemError: 403 another site sends this, 429 too many wrong keys came from there.
        """
        _refuse_other_sites(request, browser=True)
        found = keys.find(self._store, key.strip())
        if found is None:
            self._count_wrong_key(_address(request))
            return False
        token = keys.start_session(self._store, found, lifetime_seconds=SESSION_SECONDS)
        response.set_cookie(
            SESSION_COOKIE,
            token,
            max_age=int(SESSION_SECONDS),
            httponly=True,
            samesite="lax",
            secure=request.url.scheme == "https",
        )
        return True

    def sign_out(self, request: Request, response: Response) -> None:
        """End the browser's session.

        Raises:
            ProblemError: 403 another site sends this.
        """
        _refuse_other_sites(request, browser=True)
        token = request.cookies.get(SESSION_COOKIE)
        if token is not None:
            keys.end_session(self._store, token)
        response.delete_cookie(SESSION_COOKIE, httponly=True, samesite="lax")

    def _by_key(self, presented: list[str], address: str) -> Key:
        scheme, _, text = presented[0].partition(" ")
        found = None
        if len(presented) == 1 and scheme.lower() == "bearer":
            found = keys.find(self._store, text.strip())
        if found is None:
            # 256 bits cannot be guessed at any rate. This keeps guessing cheap for the service,
            # and does not keep anybody out who has a key.
            self._count_wrong_key(address)
            raise _key_needed(
                "This is no key that opens anything: it may be mistyped, revoked or past its day."
            )
        return found

    def _by_session(self, request: Request) -> Key | None:
        token = request.cookies.get(SESSION_COOKIE)
        return None if token is None else keys.of_session(self._store, token)

    def _needs_key(self) -> bool:
        if self._settings.require_key is not RequireKey.AUTO:
            return self._settings.require_key is RequireKey.ALWAYS
        if not self._key_exists and time.monotonic() >= self._no_key_until:
            self._key_exists = keys.any_exists(self._store)
            self._no_key_until = time.monotonic() + NO_KEY_SECONDS
        return self._key_exists

    def _caller(self, key: Key | None, request: Request) -> Caller:
        settings = self._settings
        requester = Requester(
            key_id=NOBODY if key is None else key.id,
            request_id=request.scope.get("request_id"),
            traceparent=current_traceparent(),
            most_unfinished=settings.max_jobs_per_key,
            most_queued=settings.max_queued_jobs,
        )
        return Caller(
            key_id=requester.key_id,
            name="operator" if key is None else key.name,
            scopes=frozenset(Scope) if key is None else key.scopes,
            counted_as=requester.key_id or _address(request),
            requester=requester,
        )

    def _count(self, caller: Caller, request: Request) -> None:
        rates = [("all", self._rate)]
        if request.method not in SAFE_METHODS:
            rates.append(("submit", self._submit_rate))
        for what, rate in rates:
            if rate is not None and not self._rates.hit(rate, what, caller.counted_as):
                raise self._too_often(
                    rate, f"More than {rate} were asked for", what, caller.counted_as
                )

    def _count_wrong_key(self, address: str) -> None:
        if not self._rates.hit(WRONG_KEYS, "wrong", address):
            raise self._too_often(WRONG_KEYS, "Too many wrong keys came", "wrong", address)

    def _too_often(self, rate: RateLimitItem, why: str, *identifiers: str) -> ProblemError:
        again = self._rates.get_window_stats(rate, *identifiers).reset_time
        seconds = max(1, math.ceil(again - time.time()))
        return ProblemError(
            RATE_LIMITED.problem(f"{why}; try again in {seconds} seconds."),
            {"Retry-After": str(seconds)},
        )


def _parsed(rate: str) -> RateLimitItem | None:
    return None if rate == "none" else parse(rate)


def _address(request: Request) -> str:
    return "unknown" if request.client is None else request.client.host


def _key_needed(detail: str) -> ProblemError:
    return ProblemError(KEY_NEEDED.problem(detail), {"WWW-Authenticate": "Bearer"})


def _refuse_other_hosts(request: Request) -> None:
    """Raise a 403 problem if a browser believes that it speaks to another machine, as it does when
    the owner of a web site has its name resolve to this one."""
    if not is_loopback(_host_name(f"//{request.headers.get('host', '')}")):
        raise ProblemError(
            CROSS_ORIGIN.problem(
                "Without a key, only requests to localhost or a loopback address are answered. "
                "Make a key with trimtab keys create NAME, or set TRIMTAB_REQUIRE_KEY=never if a "
                "proxy checks who asks."
            )
        )


def _refuse_other_sites(request: Request, *, browser: bool) -> None:
    """Raise a 403 problem if a web page of another site sends the request in a visitor's name.

    Browsers say where a request comes from, in `Sec-Fetch-Site` or in `Origin`.

    Args:
        browser: whether a browser is known to send it, so that one of the two must be there.
    """
    headers = request.headers
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None:
        own = site in ("same-origin", "none")
    elif origin is not None:
        own = origin.partition("://")[2] == headers.get("host")
    else:
        own = not browser
    if not own:
        raise ProblemError(
            CROSS_ORIGIN.problem("A page of another site may not change anything here.")
        )


def _host_name(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


# Beyond loopback


class NoKeyError(Exception):
    """The service may not be reached by others, as there is no key to tell them apart."""


def is_loopback(host: str) -> bool:
    """Whether nobody but this machine can reach `host`."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def guarded(settings: Settings, store: Store, *, host: str) -> Settings:
    """The settings for a service that listens on `host`: beyond loopback, every request needs a
    key.

    Raises:
        NoKeyError: it does, and there is none, or the settings say that none shall be asked for.
    """
    if is_loopback(host):
        return settings
    if settings.require_key is RequireKey.NEVER:
        raise NoKeyError(
            f"{host} can be reached by others, and TRIMTAB_REQUIRE_KEY=never lets everybody in. "
            "Listen on 127.0.0.1, and let the proxy that checks its users stand before it."
        )
    if not keys.any_exists(store):
        raise NoKeyError(
            f"{host} can be reached by others, and there is no key yet to tell them apart. Make "
            "one with trimtab keys create NAME, or listen on 127.0.0.1."
        )
    return settings.model_copy(update={"require_key": RequireKey.ALWAYS})


# As dependencies


class Keyed(SecurityBase):
    """A dependency: who asks, if they have a scope.

    To FastAPI it is a scheme of security, for the OpenAPI document; more than that one is read.
    """

    model = HTTPBearerModel()
    scheme_name = "HTTPBearer"

    def __init__(self, scope: Scope | None) -> None:
        """`scope`: as the method of the request wants it, to look or to change things, if none."""
        self._scope = scope

    async def __call__(self, request: Request) -> Caller:
        scope = self._scope or (Scope.READ if request.method in SAFE_METHODS else Scope.SUBMIT)
        doorkeeper: Doorkeeper = request.app.state.doorkeeper
        if doorkeeper.looks_up(request):
            return await run_in_threadpool(admit, request, scope)
        return admit(request, scope)


caller = Keyed(None)
admin = Keyed(Scope.ADMIN)


def admit(request: Request, scope: Scope) -> Caller:
    """Who asks, if they have the scope; raises a problem if not."""
    doorkeeper: Doorkeeper = request.app.state.doorkeeper
    found = doorkeeper.admit(request, scope)
    # For the log.
    request.scope["key_id"] = found.key_id
    return found


CallerDep = Annotated[Caller, Depends(caller)]
