"""The gateways that gbproxy is measured against."""
