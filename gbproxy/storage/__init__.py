"""The database: SQLite or PostgreSQL by SQLAlchemy Core, secrets encrypted. The only package that
speaks SQL.
"""
