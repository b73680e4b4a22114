`clumptconf group` says which packages may or may not be installed in a group; the submit tool and each node keep to it.
