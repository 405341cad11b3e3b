"""What measures and proves: rates against peers, parity, kills, estimates."""
