"""Clumpt: installs and maintains software on clusters, from peer to peer."""
