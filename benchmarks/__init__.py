"""How fast and how good the network is: speed of every backend, accuracy on public protocols, and their history."""
