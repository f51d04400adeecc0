"""What outlives a request: SQLite or PostgreSQL by SQLAlchemy Core, secrets encrypted. The only
package that speaks SQL.
"""
