"""The forms that one would use instead, written from the equations; a library a file.

A module is imported when a peer is made, and not before: each needs a library that the package
does not.
"""
