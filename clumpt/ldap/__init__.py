"""The state database: the only rooms that know LDAP."""
