"""What the nights of a store amount to over time, as a folder of pages for any web server.

``reading`` gets the rows of a device, ``series`` finds the steps of each job, ``news`` says what changed; ``page``,
``overview`` and ``feed`` write it down, ``site`` puts them into a folder.
"""

from .site import MARK, Written, write_site

__all__ = ["MARK", "Written", "write_site"]
