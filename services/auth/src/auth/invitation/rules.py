"""Pure rules of invitations."""

from datetime import timedelta

LIFE = timedelta(days=7)
LINK_PURPOSE = "invitation"
