"""The local agent: brings this peer in step with its groups. Sees interfaces only."""
