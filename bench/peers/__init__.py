"""What gbproxy is measured against."""
