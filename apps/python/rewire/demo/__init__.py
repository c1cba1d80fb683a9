"""Two small networks learn handwritten digits, one with learned and one with random wiring."""
