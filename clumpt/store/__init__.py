"""What a peer keeps on its disk: the journal and the repository."""
