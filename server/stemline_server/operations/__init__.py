"""What an operator sees and turns: logs, metrics, certificates, and the service manager."""
