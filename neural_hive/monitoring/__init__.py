"""What people watch the system with: Grafana dashboards and Prometheus alert rules, made from one place."""
