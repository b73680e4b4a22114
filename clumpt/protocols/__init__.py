"""The notification and the update protocol, and the links that carry them."""
