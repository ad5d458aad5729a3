"""How to reach a server: its address, connections, commands, and its errors in our words."""
