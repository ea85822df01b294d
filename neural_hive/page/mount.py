"""Puts the page beside the API: one process, one port, one way to say who one is."""

import os
import secrets
from pathlib import Path
from typing import Final

from fastapi import FastAPI
from nicegui import ui
from nicegui.storage import Storage
from starlette.responses import Response

from neural_hive.api.services import Services
from neural_hive.page import sign_in
from neural_hive.page.frame import SIGN_IN, framed
from neural_hive.page.site import Site
from neural_hive.page.views import (
    agents,
    budgets,
    dead_letters,
    events,
    overview,
    slo,
    sql,
    streams,
    verification,
    workflow,
    workflows,
)
from neural_hive.page.views.budgets import path_of

TITLE: Final = "Neural Hive"
_SECRET_BYTES: Final = 32
_SECRET_MODE: Final = 0o600


def mount(app: FastAPI, services: Services) -> None:
    """Adds the page to the API's app, below all of its routes. Once for a process: NiceGUI is a global of it."""
    folder = services.settings.api_folder
    folder.mkdir(parents=True, exist_ok=True)
    # Set here: its setting of the environment is read once, by the first import of NiceGUI.
    Storage.path = (folder / "page").resolve()
    _register(Site.of(services))
    ui.run_with(
        app,
        title=TITLE,
        dark=None,
        storage_secret=_secret(folder / "page.secret"),
        session_middleware_kwargs={"same_site": "strict"},
        show_welcome_message=False,
    )


def _register(site: Site) -> None:
    @ui.page(SIGN_IN, title=f"Sign in – {TITLE}")
    def sign_in_page(to: str = "/") -> None:
        sign_in.show(site, to)

    @ui.page("/", title=TITLE)
    async def overview_page() -> Response | None:
        return await framed(site, "/", lambda who: overview.show(site))

    @ui.page("/workflows", title=f"Workflows – {TITLE}")
    async def workflows_page(status: str = "", plan: str = "") -> Response | None:
        return await framed(site, "/workflows", lambda who: workflows.show(site, who, status, plan))

    @ui.page("/workflow/{workflow_id}", title=f"Workflow – {TITLE}")
    async def workflow_page(workflow_id: str) -> Response | None:
        path = f"/workflow/{workflow_id}"
        return await framed(site, path, lambda who: workflow.show(site, who, workflow_id))

    @ui.page("/budgets", title=f"Budgets – {TITLE}")
    async def budgets_page(service: str = "", status: str = "") -> Response | None:
        return await framed(site, "/budgets", lambda who: budgets.show(site, who, service, status))

    @ui.page("/slo/{slo_id}", title=f"SLO – {TITLE}")
    async def slo_page(slo_id: str, dimension: str = "") -> Response | None:
        return await framed(
            site, path_of(slo_id, dimension), lambda who: slo.show(site, who, slo_id, dimension)
        )

    @ui.page("/events", title=f"Events – {TITLE}")
    async def events_page(type: str = "", aggregate: str = "") -> Response | None:  # noqa: A002 (the address's word)
        return await framed(site, "/events", lambda who: events.show(site, who, type, aggregate))

    @ui.page("/dead-letters", title=f"Dead letters – {TITLE}")
    async def dead_letters_page() -> Response | None:
        return await framed(site, "/dead-letters", lambda who: dead_letters.show(site, who))

    @ui.page("/streams", title=f"Streams – {TITLE}")
    async def streams_page() -> Response | None:
        return await framed(site, "/streams", lambda who: streams.show(site))

    @ui.page("/agents", title=f"Agents – {TITLE}")
    async def agents_page() -> Response | None:
        return await framed(site, "/agents", lambda who: agents.show(site))

    @ui.page("/sql", title=f"SQL – {TITLE}")
    async def sql_page() -> Response | None:
        return await framed(site, "/sql", lambda who: sql.show(site, who))

    @ui.page("/verification", title=f"Verification – {TITLE}")
    async def verification_page() -> Response | None:
        return await framed(site, "/verification", lambda who: verification.show(site, who))


def _secret(file: Path) -> str:
    """What cookies are signed with: made once, and kept where only this user reads it."""
    if not file.exists():
        draft = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _SECRET_MODE)
        with os.fdopen(draft, "w") as opened:
            opened.write(secrets.token_hex(_SECRET_BYTES))
    return file.read_text().strip()
