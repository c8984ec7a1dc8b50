"""Shared library of all PenguinMails services."""
