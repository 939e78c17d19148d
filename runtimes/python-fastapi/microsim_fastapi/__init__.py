"""A mock service on FastAPI, served by Uvicorn."""
