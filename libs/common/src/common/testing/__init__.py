"""Fixtures and factories for the tests of services: real databases, real applications, made-up tenants."""
