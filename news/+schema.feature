A directory whose schema is older than the peers still takes their reports; `clumptconf check` says what it lacks, and `clumptconf schema --format upgrade` brings OpenLDAP up to date.
