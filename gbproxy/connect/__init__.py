"""What each client program needs to reach this gateway: fields, variables, files and code, as plain
values; and how they are put into a program's own file.
"""
