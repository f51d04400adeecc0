"""What the program tells about itself: log lines now, measured per request."""
