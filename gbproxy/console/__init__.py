"""The console, under `/admin`: what an administrator sees and does in a browser. Knows Flask.

Every page works without script; htmx and `console.js` only make it livelier.
"""
