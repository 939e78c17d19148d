"""A mock service on Flask, served by Cheroot."""
