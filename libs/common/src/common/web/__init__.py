"""HTTP defaults of every service: authentication, sessions, errors, limits."""
