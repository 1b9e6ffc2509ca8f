"""Tell people through systems that Alertmanager does not speak to itself."""
