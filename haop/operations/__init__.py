"""What an operator does: one use case a file, one public function each."""
