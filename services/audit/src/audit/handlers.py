"""What the service does about events in a tenant's own transaction: the kernel's projections, no more.

The log itself is written by `audit.ingest`, which takes every event of every tenant in batches.
"""

from collections.abc import Mapping

from common.bus.projections import Handler
from common.contracts.envelope import Event

HANDLERS: Mapping[type[Event], Handler] = {}
