"""Making the pictures of a protocol on ComfyUI servers, of which nothing but the HTTP API is needed."""
