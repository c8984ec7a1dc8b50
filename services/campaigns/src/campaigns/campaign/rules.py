"""Pure rules of campaigns."""

from campaigns.campaign.errors import CampaignNotDraft


def assert_draft(status: str) -> None:
    """Only drafts can be changed or deleted.

    Raises:
        CampaignNotDraft: the campaign has left its draft.
    """
    if status != "draft":
        raise CampaignNotDraft
