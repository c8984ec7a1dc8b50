"""Command line of every service: `serve | consume | relay | work | run | migrate | events` and its own.

In production each role can be its own deployment; `run` is all of them in one process.
"""

import asyncio
import gc
import logging
import signal
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Annotated, cast
from urllib.parse import urlsplit

import typer
import uvicorn
from fastapi import FastAPI

from common import metrics, telemetry
from common.bus.brake import Brake
from common.bus.consumer import Consumer
from common.bus.kafka import Cluster
from common.bus.lanes import Lanes
from common.bus.projections import PROJECTIONS
from common.bus.relay import Relay
from common.bus.soundings import Soundings
from common.contracts.envelope import Topic
from common.db.catalog import check_catalog
from common.db.paging import Cursors
from common.db.provision import passwords_in, provision_database
from common.erasure import Undertaker
from common.events_cli import events_commands
from common.exporting import Exporter
from common.operators import from_environment
from common.secrets_cli import secrets_commands
from common.service import Service, open_database
from common.settings import OwnerSettings, ProvisionSettings, ServiceSettings
from common.upkeep import Upkeep
from common.web.access import AccessLog
from common.web.app import asgi, create_probes
from common.web.kernel import Kernel
from common.web.ratelimit import RateLimiter
from common.web.server import Protocol, Server
from common.web.tokens import TokenVerifier

log = logging.getLogger(__name__)

ROLES = ("serve", "consume", "relay", "work")
_SHUTDOWN_SECONDS = 5
_YOUNG_OBJECTS = 50_000
_FAREWELL_SECONDS = 3


def main(service: Service, called: str | None = None) -> None:
    """Parse the command line and run; `called`: the program that people have typed, if not this one."""
    app = typer.Typer(help=f"PenguinMails service {service.name}.", no_args_is_help=True)
    for role in ROLES:
        app.command(role)(_role_command(service, role))

    @app.command("run")
    def run() -> None:
        """All roles in one process."""
        _run(service, ROLES)

    @app.command("migrate")
    def bring_up_to_date(
        provision: Annotated[
            bool,
            typer.Option(
                help="Make the database and its roles first, or repair them: needs SUPERUSER_DATABASE_URL "
                "and the URLs of all roles, whose passwords they get."
            ),
        ] = False,
    ) -> None:
        """Bring the database to the newest schema; needs OWNER_DATABASE_URL and TENANCY_KEY."""
        asyncio.run(_migrate(service, provision=provision))

    for name, commands in {"events": events_commands(service), **service.commands}.items():
        app.add_typer(commands, name=name)
    if service.sealed:
        app.add_typer(secrets_commands(service), name="secrets")
    _ = (run, bring_up_to_date)
    app(prog_name=called)


def _role_command(service: Service, role: str) -> Callable[[], None]:
    def command() -> None:
        _run(service, (role,))

    command.__doc__ = f"Run the role `{role}` alone."
    return command


async def _migrate(service: Service, *, provision: bool) -> None:
    # Imported here: Alembic takes a third of the time a service needs to start.
    from common.db.migrate import migrate  # noqa: PLC0415

    if provision:
        made = from_environment(ProvisionSettings)
        passwords = passwords_in(service.name, made.role_urls())
        database = urlsplit(made.owner_database_url).path.lstrip("/")
        await provision_database(made.superuser_database_url, service.name, passwords, database)
    owner = from_environment(OwnerSettings)
    key = owner.tenancy_key.get_secret_value()
    await migrate(service.name, owner.owner_database_url, key, service.migrations)


def _run(service: Service, roles: tuple[str, ...]) -> None:
    settings = from_environment(service.settings)
    telemetry.start_logging(service.name, settings.log_level)
    endpoint = settings.otel_exporter_otlp_endpoint
    resource = telemetry.resource_of(service.name, roles)
    tracing = telemetry.start_tracing(resource, endpoint, settings.trace_ratio)
    measuring = metrics.start_metrics(resource, endpoint, settings.metric_interval)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(run_roles(service, settings, roles))
    except Exception as error:
        # As a line like all others: a traceback of the interpreter's would print what the message holds.
        for cause in _causes(error):
            log.critical("the process fails", exc_info=cause)
        raise typer.Exit(1) from None
    finally:
        measuring.shutdown(timeout_millis=_FAREWELL_SECONDS * 1000)
        tracing.shutdown()


def _causes(error: Exception) -> Iterator[Exception]:
    """What failed first, and what failed with it."""
    if isinstance(error, ExceptionGroup):
        for part in cast("ExceptionGroup[Exception]", error).exceptions:
            yield from _causes(part)
    else:
        yield error


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    import uvloop  # noqa: PLC0415 - not on every platform

    return uvloop.new_event_loop


def build_kernel(service: Service, settings: ServiceSettings) -> Kernel:
    """The composition root: everything a process of this service shares."""
    database = open_database(settings)
    return Kernel(
        service=service.name,
        settings=settings,
        database=database,
        verifier=TokenVerifier(settings),
        access_log=AccessLog(service.name, database),
        cursors=Cursors(settings.link_secret.get_secret_value()),
        rate_limiter=RateLimiter(database, settings.rate_limit_url, settings.link_secret.get_secret_value()),
    )


async def run_roles(service: Service, settings: ServiceSettings, roles: tuple[str, ...]) -> None:
    """Run the roles until SIGTERM or SIGINT; a role that fails takes the process down with it.

    We leave in the order in which work flows: requests are finished, then events and jobs, and the relay
    publishes what came of all that (docs/adr/0026-leaving.md).
    """
    kernel = build_kernel(service, settings)
    cluster = Cluster(settings)
    relay = Relay(service.name, settings, cluster, kernel.database.events_written)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, kernel.leaving.set)
    await check_catalog(settings.database_url, service.name)
    log.info("starting", extra={"fields": {"roles": roles}})
    _rest_the_collector()
    try:
        async with asyncio.TaskGroup() as group:
            background = [
                group.create_task(_forever(work)) for work in _background(service, kernel, cluster, roles)
            ]
            publishing = group.create_task(_publish(relay, kernel)) if "relay" in roles else None
            servers = [group.create_task(serving) for serving in _servers(service, kernel, roles)]
            await kernel.leaving.wait()
            log.info("stopping")
            await asyncio.gather(*servers)
            for task in background:
                task.cancel()
            await asyncio.gather(*background, return_exceptions=True)
            if publishing is not None:
                await _finish_publishing(relay, publishing)
    finally:
        await cluster.close()
        await kernel.rate_limiter.close()
        await kernel.database.close()
    log.info("stopped")


def _rest_the_collector() -> None:
    """What is there from the start stays: no look for garbage goes through it. A page makes some thousand
    objects that go by themselves, so looking after every 700, as Python does, finds nothing."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS)


async def _forever(work: Callable[[], Awaitable[None]]) -> None:
    """Run a loop that may end only because we ended it; otherwise the process must not go on without it."""
    try:
        await work()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
    raise RuntimeError(f"{getattr(work, '__qualname__', work)} ended by itself")


async def _publish(relay: Relay, kernel: Kernel) -> None:
    await relay.run()
    if not kernel.leaving.is_set():
        raise RuntimeError("the relay ended by itself")


async def _finish_publishing(relay: Relay, publishing: asyncio.Task[None]) -> None:
    """Publish what the outbox holds; what the broker does not take in time waits there for the next relay."""
    relay.leave()
    _, late = await asyncio.wait({publishing}, timeout=_FAREWELL_SECONDS)
    for task in late:
        log.warning("events stay in the outbox")
        task.cancel()


def _background(
    service: Service, kernel: Kernel, cluster: Cluster, roles: tuple[str, ...]
) -> Iterator[Callable[[], Awaitable[None]]]:
    """The loops that the roles consist of, besides the HTTP server and the relay."""
    settings = kernel.settings
    yield metrics.watch_event_loop
    if "serve" in roles:
        yield kernel.verifier.keys.keep_fresh
        yield kernel.access_log.keep_flushing
    if "consume" in roles:
        brake = Brake(service.name, settings.dead_letter_limit)
        lanes = Lanes(service.name, kernel.database, service.handlers, brake)
        topics: list[Topic] = sorted({event.TOPIC for event in (*service.handlers, *PROJECTIONS)})
        yield Consumer(service.name, settings, cluster, topics, lanes, brake=brake).run
        for consumer in service.consumers:
            yield lambda consumer=consumer: consumer(kernel)
    if "work" in roles:
        for worker in service.workers:
            yield lambda worker=worker: worker(kernel)
        yield Undertaker(kernel, service.erasing).rounds.run
        yield Exporter(kernel, service.exporting).rounds.run
        yield Upkeep(kernel, service.forgetting).run
        yield Soundings(service.name, settings).run


def _servers(
    service: Service, kernel: Kernel, roles: tuple[str, ...]
) -> Iterator[Coroutine[None, None, None]]:
    """What answers HTTP: the service, or for roles that take no requests its probes alone."""
    settings = kernel.settings
    if "serve" in roles:
        yield _serve(service.create_app(kernel), kernel, settings.service_port)
    elif settings.health_port:
        yield _serve(create_probes(kernel), kernel, settings.health_port)


async def _serve(app: FastAPI, kernel: Kernel, port: int) -> None:
    """Until the process was told to stop: then for as long as gateways need to notice, and until the last
    request has its answer."""
    config = uvicorn.Config(
        asgi(app),
        host=kernel.settings.service_host,
        port=port,
        http=Protocol,
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
        timeout_keep_alive=75,
    )
    server = Server(config)
    serving = asyncio.create_task(server.serve())
    waiting = asyncio.create_task(kernel.leaving.wait())
    await asyncio.wait({serving, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    await asyncio.wait({serving}, timeout=kernel.settings.drain_seconds)
    server.should_exit = True
    await serving
    if not kernel.leaving.is_set():
        raise RuntimeError("the HTTP server stopped by itself (is the port taken?)")
