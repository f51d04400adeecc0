"""The pool of accounts: leases, health, the policy for each failure, and failover."""
