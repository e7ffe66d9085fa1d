"""The separation server: services, jobs, store, pipeline and engines. It knows no timeline."""
