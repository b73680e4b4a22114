"""The front doors: the only place where parts meet."""
