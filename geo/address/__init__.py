"""Addresses: which of them are the same place."""
