"""The API document and the reference page, for anybody."""
