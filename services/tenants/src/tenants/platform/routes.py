"""All routes of operators in this service."""

from tenants.platform import billing, deletions, endpoints, exports, sign_ups

routers = (endpoints.router, sign_ups.router, deletions.router, exports.router, billing.router)
