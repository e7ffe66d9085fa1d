"""The process of the engines of one device, started by the server: confined before it loads anything else."""

from stemline_server.isolation.confinement import confine

if __name__ == "__main__":
    confine()
    from stemline_server.isolation.child import main  # its imports start threads, which a later confinement misses

    main()
