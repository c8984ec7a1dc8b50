"""Whether docker-compose.yml runs, on a machine that cannot fetch images: `make compose-check`."""
