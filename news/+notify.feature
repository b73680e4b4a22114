`systemctl start clumptd` ends when the peer is up and fails when it cannot start; `systemctl reload clumptd` works.
