"""Media folders and what lies in them: files of sound, pictures or video with a metadata table beside them."""
