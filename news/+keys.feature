`clumptconf submitter` gives each administrator a key of their own, with a scope, and retires it.
