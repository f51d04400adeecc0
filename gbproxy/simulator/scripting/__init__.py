"""Scripts, switches, records, replay and the control endpoint, which every service has.

`service` is the contract of a service; `handler` performs what it replies. Knows which answers
Google's models and APIs give, and no single service.
"""
