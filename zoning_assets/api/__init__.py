"""The API and the map: OGC API Features and vector tiles by tipg, a JSON API, and the files of the page.

It reads with the role zoning_reader. Only a decision about a review writes. `application.py` puts the parts together;
cli/serve.py runs it.
"""
