"""How good a picture is and how many bits it took."""
