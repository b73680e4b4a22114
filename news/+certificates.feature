Certificates that end within 30 days are warned of: of nodes in their logs and by `clumptconf check`, of the tools by themselves.
