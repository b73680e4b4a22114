"""Signed documents and the keys that vouch for them."""
