"""`penguinmails isolation check`: attacks an installation from outside, as one of its own tenants.

Knows nothing of the platform but its public HTTP interface and the OpenAPI document it serves.
"""
