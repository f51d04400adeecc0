"""The API of administrators, under `/api/`: behind the ADMIN_KEY, never open to web pages of other
origins. Knows Flask.
"""
