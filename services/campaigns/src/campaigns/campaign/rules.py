"""Pure rules of campaigns."""

from campaigns.campaign.errors import CampaignNotDraft

RUNNING = ("scheduled", "sending")
"""States in which a campaign sends, or will by itself."""


def assert_draft(status: str) -> None:
    """Only drafts can be changed or deleted.

    Raises:
        CampaignNotDraft: the campaign has left its draft.
    """
    if status != "draft":
        raise CampaignNotDraft
