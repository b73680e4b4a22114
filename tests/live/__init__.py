"""Tests on real parts: slapd, dpkg, sockets, processes, namespaces."""
