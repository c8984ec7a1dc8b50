"""Facts that refuse a request."""

from common.errors import Conflict


class CampaignNotDraft(Conflict):
    code = "campaign_not_draft"

    def __init__(self) -> None:
        super().__init__("The campaign is no longer a draft.")
