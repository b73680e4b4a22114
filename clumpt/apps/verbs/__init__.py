"""What C{clumpt} can do, a file for each verb or a few that belong together."""
