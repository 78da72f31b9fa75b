"""The collection: every notebook run, the pages written, results promoted, models shipped."""
