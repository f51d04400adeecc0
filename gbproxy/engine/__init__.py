"""All that answers, put together without a surface: this room, with app.py over it, is where
concrete classes are named.
"""

from gbproxy.engine.building import Services, build

__all__ = ["Services", "build"]
