"""perfloop.yml into Prometheus rules, Alertmanager routes and scrape configuration."""
