"""What every service of the simulator has: scripts, switches, records, replay, the control endpoint.

`service` is the contract of a service; `handler` performs what it replies. Knows which answers
Google's models and APIs give, and no single service.
"""
