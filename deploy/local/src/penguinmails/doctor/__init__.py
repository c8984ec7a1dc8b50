"""Finds what keeps a stack from starting or working, and says how to mend each thing."""
