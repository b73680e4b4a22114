"""A small LDAP server for the try-out, for tests and for small sites."""
