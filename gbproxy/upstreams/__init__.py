"""The services that answer: one adapter each, all behind the port in `base`."""
