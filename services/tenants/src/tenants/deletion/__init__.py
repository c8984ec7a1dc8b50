"""Slice: the deletion of a tenant, from its owner's wish to the certificate."""
