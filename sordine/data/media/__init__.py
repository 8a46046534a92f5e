"""Folders of sound, pictures or video with a metadata table beside them."""
