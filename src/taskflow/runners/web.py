"""Requests over HTTP: to one of several servers that offer the same, with repetition, within bounds.

What may be repeated: a request that never reached a server, always; one whose fate is not known, if its method is
idempotent (GET, HEAD, PUT, DELETE, OPTIONS). After a connection that fails the next server is asked, and when all have
been, all again a little later. After 502, 503 and 504 the next server is asked, once.

Nothing here writes what may be secret: errors name a server without user and password, and a path without its query.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import random
import re
from collections import deque
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote, quote_plus, unquote, urlsplit

from taskflow.model.errors import ArgumentError, ServiceError
from taskflow.runners import own_imports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

    from taskflow.model.cluster import HttpService

CONNECT_S = 10.0  #: to make a connection
SILENCE_S = 600.0  #: without a byte from the server, or from us
PASSES = 5  #: how often all servers are asked when no connection can be made
PAUSE_S = 0.1  #: before the second time; twice as long before each further one
REST_S = 5.0  #: a server that could not be reached is asked after the others for so long
MAX_REDIRECTS = 5
MAX_RESPONSE = 64 << 20  #: bytes of an answer, unless the task says how many
ERROR_BYTES = 16384  #: of the answer that tells of a failure, as much is read
SHOWN = 500  #: characters of an answer in an error
CHUNK = 1 << 16
IDLE_S = 30.0  #: a connection that has not been needed for so long is closed

IDEMPOTENT = frozenset({"GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"})
ELSEWHERE = frozenset({502, 503, 504})  #: another server may be better off
NOT_DONE = 503  #: the only one of these that says that nothing was done


class Site:
    """One server: a base URL, its ``limit`` of requests at a time, and those that wait for their turn."""

    __slots__ = ("auth", "base", "busy", "limit", "rests_until", "secrets", "shown", "waiting")

    def __init__(self, base_url: str, limit: int | None) -> None:
        base_url = base_url.strip()
        try:
            parts = urlsplit(base_url)
            port = parts.port
        except ValueError as error:
            raise ArgumentError(f"the URL of a service is wrong: {error}") from None
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ArgumentError(
                f"the URL of a service begins with http:// or https:// and names a host, not "
                f"{_without_user(base_url)!r}"
            )
        if parts.query or parts.fragment:
            raise ArgumentError(
                f"the URL of a service has no ? and no #: {parts.scheme}://{parts.hostname}{parts.path}"
            )
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        self.base = f"{parts.scheme}://{host}{'' if port is None else f':{port}'}{parts.path.rstrip('/')}"
        self.shown = self.base
        self.auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
        self.secrets = () if self.auth is None else _forms_of(*self.auth)
        self.limit = limit
        self.busy = 0
        self.rests_until = 0.0
        self.waiting: deque[asyncio.Future[Site]] = deque()

    def __repr__(self) -> str:
        return f"<site {self.shown}, {self.busy} requests>"

    @property
    def has_room(self) -> bool:
        """Whether it takes another request now."""
        return self.limit is None or self.busy < self.limit


def _forms_of(user: str, password: str) -> tuple[str, ...]:
    """What must not be shown of a URL's user and password, in the forms in which a server may send it back."""
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    secret = password or user  # without a password the user is a key
    return (token, token.rstrip("="), secret, quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1])


def _without_user(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//", url)


class Outgoing(NamedTuple):
    """One request. ``body``: bytes, or the path of a file, or None. ``secrets``: what no message may show."""

    method: str
    resource: str
    headers: Mapping[str, str]
    body: bytes | str | None
    max_bytes: int
    secrets: tuple[str, ...] = ()

    @property
    def shown_path(self) -> str:
        """The resource as messages name it."""
        path, mark, _ = self.resource.partition("?")
        return path + mark + "..." * bool(mark)


class Answer(NamedTuple):
    """What a server has answered. ``url``: of whom, for messages. ``secrets``: what no message may show of it."""

    status: int
    reason: str
    content_type: str
    charset: str
    body: bytes
    url: str
    secrets: tuple[str, ...] = ()

    @property
    def is_json(self) -> bool:
        """Whether it says of itself that it is JSON."""
        return self.content_type == "application/json" or self.content_type.endswith("+json")

    def text(self) -> str:
        """The body as text."""
        try:
            return self.body.decode(self.charset or "utf-8", errors="replace")
        except LookupError:  # a character set that nobody knows
            return self.body.decode("utf-8", errors="replace")

    def beginning(self) -> str:
        """The beginning of the body, for a message."""
        text = hidden(self.text(), self.secrets)[: SHOWN + 1]  # hidden first, lest half a secret is left at the end
        text = "".join(char if char.isprintable() or char in "\n\t" else "\N{REPLACEMENT CHARACTER}" for char in text)
        return text[:SHOWN] + " ..." * (len(text) > SHOWN)


def hidden(text: str, secrets: Iterable[str]) -> str:
    """The text without what must not be shown."""
    for secret in sorted(secrets, key=len, reverse=True):  # one may be a part of another
        if secret:
            text = text.replace(secret, "***")
    return text


class _File:
    """The content of a file, as often as it has to be sent."""

    def __init__(self, path: str) -> None:
        self._path = path

    async def __aiter__(self) -> AsyncIterator[bytes]:
        with open(self._path, "rb") as file:  # noqa: ASYNC230  a piece at a time
            while chunk := file.read(CHUNK):
                yield chunk


class _Clients:
    """Clients of httpx, each for one request at a time.

    One client for all would look at all its connections for each request that begins or ends: a thousand at a time
    would take a minute of the processor's time.
    """

    def __init__(self) -> None:
        self._idle: dict[Site, deque[tuple[Any, float]]] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._tls: Any = None
        self._httpx: Any = None

    @property
    def httpx(self) -> Any:
        """The package, imported when it is first needed, with all that it would import in a request."""
        if self._httpx is None:
            with own_imports.looking():
                import encodings.idna  # noqa: F401  for names of hosts

                import anyio._backends._asyncio
                import anyio.streams.tls  # noqa: F401
                import httpcore._backends.anyio  # noqa: F401
                import httpx

                self._tls = httpx.create_ssl_context()
            self._httpx = httpx
        return self._httpx

    def take(self, site: Site) -> Any:
        """A client, with a connection to the server if one is left of an earlier request."""
        idle = self._idle.get(site)
        return idle.pop()[0] if idle else self._make()

    def give_back(self, site: Site, client: Any) -> None:
        """The request has ended. What has not been needed for long is closed."""
        idle = self._idle.setdefault(site, deque())
        now = monotonic()
        idle.append((client, now))
        if now - idle[0][1] > IDLE_S:
            closing = asyncio.ensure_future(idle.popleft()[0].aclose())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    async def close(self) -> None:
        """Close all connections."""
        for idle in self._idle.values():
            while idle:
                await idle.pop()[0].aclose()

    def _make(self) -> Any:
        from http.cookiejar import CookieJar, DefaultCookiePolicy

        httpx = self.httpx
        return httpx.AsyncClient(
            verify=self._tls,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),  # one task's must not go with another's request
            timeout=httpx.Timeout(SILENCE_S, connect=CONNECT_S),
            headers={"User-Agent": "taskflow"},
        )


class _Turn:
    """The server that one request is reserved at."""

    def __init__(self, web: Web) -> None:
        self._web = web
        self._site: Site | None = None

    @property
    def site(self) -> Site:
        """The server."""
        assert self._site is not None
        return self._site

    async def move(self, sites: Sequence[Site]) -> None:
        """Go to another server, one of these."""
        self.end()
        self._site = await self._web.reserve(sites)

    def end(self) -> None:
        """Have done with the server."""
        site, self._site = self._site, None
        if site is not None:
            self._web.release(site)


class Web:
    """All servers that are asked, and the connections to them. Used in one event loop."""

    def __init__(self) -> None:
        self._sites: dict[tuple[str, Any], Site] = {}
        self._clients = _Clients()

    def sites_of(self, places: Sequence[HttpService]) -> list[Site]:
        """The servers in these places. One that is in several has the least of their limits. Raises ArgumentError."""
        sites = []
        for place in places:
            new = Site(place.base_url, place.limit_of_tasks)
            site = self._sites.setdefault((new.base, new.auth), new)
            if new.limit is not None:
                site.limit = min(new.limit, site.limit or new.limit)
            sites.append(site)
        return sites

    async def close(self) -> None:
        """Close all connections."""
        await self._clients.close()

    # ------------------------------------------------------------------ whose turn it is

    async def reserve(self, sites: Sequence[Site]) -> Site:
        """A server of these that takes a request; waits until there is one."""
        site = self._best([site for site in sites if site.has_room])
        if site is not None:
            site.busy += 1
            return site
        turn: asyncio.Future[Site] = asyncio.get_running_loop().create_future()
        for site in sites:
            site.waiting.append(turn)
        try:
            return await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.release(turn.result())
            raise

    @staticmethod
    def release(site: Site) -> None:
        """A request to the server has ended."""
        while site.waiting:
            turn = site.waiting.popleft()
            if not turn.done():
                turn.set_result(site)
                return
        site.busy -= 1

    @staticmethod
    def _best(sites: Sequence[Site]) -> Site | None:
        """The one with the least to do, of those that have not just failed."""
        now = monotonic()
        return min(sites, key=lambda site: (site.rests_until > now, site.busy / (site.limit or 1)), default=None)

    # ------------------------------------------------------------------ asking

    async def ask(self, sites: Sequence[Site], outgoing: Outgoing, service: str, seconds: float = 0.0) -> Answer:
        """The answer to a request, whatever its status, of the first server that has one.

        ``seconds``: how long it may take from when there is room for it; 0: any time. Raises ServiceError if there is
        no answer, asyncio.TimeoutError if the time is over.
        """
        own = [secret for site in sites for secret in site.secrets]
        if own:
            outgoing = outgoing._replace(secrets=(*outgoing.secrets, *own))
        turn = _Turn(self)
        try:
            await turn.move(sites)
            return await asyncio.wait_for(self._converse(turn, sites, outgoing, service), seconds or None)
        finally:
            turn.end()

    async def _converse(self, turn: _Turn, sites: Sequence[Site], outgoing: Outgoing, service: str) -> Answer:
        httpx = self._clients.httpx
        problems: dict[str, str] = {}
        for number in range(PASSES):
            if number:
                turn.end()
                await asyncio.sleep(PAUSE_S * 2 ** (number - 1) * random.uniform(0.5, 1.5))  # noqa: S311  no secret
                await turn.move(sites)
            left = list(sites)
            answer: Answer | None = None
            while True:
                site = turn.site
                left.remove(site)
                try:
                    answer = await self._ask(site, outgoing)
                    site.rests_until = 0.0
                    if answer.status not in ELSEWHERE or not _may_go_elsewhere(outgoing.method, answer.status):
                        return answer
                    site.rests_until = monotonic() + REST_S
                except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                    site.rests_until = monotonic() + REST_S
                    problems[site.shown] = _text(error) or "no connection could be made"
                except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
                    problems[site.shown] = _text(error) or "the connection was lost"
                    if outgoing.method not in IDEMPOTENT:
                        raise self._lost(outgoing, service, problems, "; it may have been done all the same") from None
                    site.rests_until = monotonic() + REST_S
                except httpx.TimeoutException as error:
                    why = f"nothing was heard for {SILENCE_S:g} seconds ({type(error).__name__})"
                    raise self._lost(outgoing, service, {site.shown: why}, "") from None
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    raise self._lost(outgoing, service, {site.shown: _text(error)}, "") from None
                if not left:
                    break
                await turn.move(left)
            if answer is not None:
                return answer  # of the last one, which could do no better
        times = f", each asked {PASSES} times" if len(sites) > 1 else f", asked {PASSES} times"
        raise self._lost(outgoing, service, problems, times)

    @staticmethod
    def _lost(outgoing: Outgoing, service: str, problems: dict[str, str], more: str) -> ServiceError:
        told = "; ".join(f"{shown}: {hidden(why, outgoing.secrets)}" for shown, why in problems.items())
        return ServiceError(
            f"{outgoing.method} {outgoing.shown_path} of the service {service} got no answer ({told}{more}); is the "
            f"service running, and its URL right?"
        )

    async def _ask(self, site: Site, outgoing: Outgoing) -> Answer:
        """Ask one server, once. Raises httpx.HTTPError and ServiceError."""
        client = self._clients.take(site)
        try:
            return await self._ask_through(client, site, outgoing)
        finally:
            self._clients.give_back(site, client)

    async def _ask_through(self, client: Any, site: Site, outgoing: Outgoing) -> Answer:
        headers = {**outgoing.headers}
        body: Any = outgoing.body
        if isinstance(body, str):
            headers["Content-Length"] = str(os.stat(body).st_size)
            body = _File(body)
        request = client.build_request(
            outgoing.method, f"{site.base}/{outgoing.resource.lstrip('/')}", headers=headers, content=body
        )
        auth = site.auth
        for _ in range(MAX_REDIRECTS + 1):
            response = await client.send(request, auth=auth, stream=True, follow_redirects=False)
            try:
                following = response.next_request
                if following is None:
                    return await self._read(response, site, outgoing)
                if not _same_server(request.url, following.url):
                    auth = None
                    _leave_secrets_behind(request, following, outgoing, site)
                request = following
            finally:
                await response.aclose()
        raise ServiceError(f"{outgoing.method} {site.shown}/{outgoing.shown_path} was redirected {MAX_REDIRECTS} times")

    @staticmethod
    async def _read(response: Any, site: Site, outgoing: Outgoing) -> Answer:
        """The answer whose head has come."""
        url = f"{site.shown}/{outgoing.shown_path.lstrip('/')}"
        most = outgoing.max_bytes if response.is_success else ERROR_BYTES
        pieces: list[bytes] = []
        size = 0
        async for chunk in response.aiter_bytes():
            pieces.append(chunk)
            size += len(chunk)
            if size > most:
                if not response.is_success:
                    break
                raise ServiceError.answered(
                    response.status_code,
                    f"{outgoing.method} {url} answered with more than {most:,} bytes; allow more with "
                    f"@http(max_response=...)",
                )
        kind, _, _ = response.headers.get("Content-Type", "").partition(";")
        return Answer(
            response.status_code, hidden(response.reason_phrase, outgoing.secrets), kind.strip().lower(),
            response.charset_encoding or "", b"".join(pieces), url, outgoing.secrets,
        )  # fmt: skip


def _may_go_elsewhere(method: str, status: int) -> bool:
    return method in IDEMPOTENT or status == NOT_DONE


def _same_server(one: Any, other: Any) -> bool:
    return (one.scheme, one.host, one.port) == (other.scheme, other.host, other.port)


def _leave_secrets_behind(before: Any, after: Any, outgoing: Outgoing, site: Site) -> None:
    """A request goes on to another server: without the task's own headers, which may be secret.

    Raises ServiceError if it is to go from https to http.
    """
    if before.url.scheme == "https" and after.url.scheme != "https":
        raise ServiceError(f"{outgoing.method} {site.shown}/{outgoing.shown_path} was redirected from https to http")
    for name in outgoing.headers:
        if name.lower() not in ("content-type", "content-length"):
            after.headers.pop(name, None)


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
