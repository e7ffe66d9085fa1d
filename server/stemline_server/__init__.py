"""The inference server: services, jobs, the separation pipeline, engines. It knows no timeline."""
