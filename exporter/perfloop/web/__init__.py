"""The optimizer's HTTP side: Alertmanager's webhook, the API with its OpenAPI document, and its own metrics."""
