"""What the routes of this service share beyond the kernel, made by `create_app`."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends
from starlette.requests import Request

from campaigns.domain.keys import KeyMaker
from campaigns.settings import CampaignsSettings, settings_of
from common.web.kernel import Kernel


@dataclass(frozen=True, slots=True)
class CampaignsParts:
    settings: CampaignsSettings
    dkim: KeyMaker


def make_parts(kernel: Kernel) -> CampaignsParts:
    settings = settings_of(kernel)
    return CampaignsParts(
        settings=settings,
        dkim=KeyMaker(settings.encryption_keys, settings.dkim_threads, settings.dkim_queue),
    )


async def get_parts(request: Request) -> CampaignsParts:
    parts: CampaignsParts = request.app.state.parts
    return parts


Parts = Annotated[CampaignsParts, Depends(get_parts)]
