"""The work of the commands, as functions of their options."""
