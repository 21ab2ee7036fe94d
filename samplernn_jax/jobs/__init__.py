"""What the commands do, as functions of their options."""
