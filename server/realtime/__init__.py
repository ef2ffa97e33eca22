"""The Socket.IO server: its protocol, its two transports, and what protects it."""
