"""The first people of a server that nobody uses yet, made through the services everybody uses."""
