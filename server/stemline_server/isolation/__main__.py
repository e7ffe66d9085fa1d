"""The process of engines or of a decoder, started by the server: confined before it loads anything else.

The arguments are three descriptors and a name for lists of processes. Those of a decoder go on with its memory in
bytes, the folders that it may write to, of which the first is for temporary files, and the folders that it may read.
"""

import os
import sys

from stemline_server.isolation.confinement import confine, confine_to_files

if __name__ == "__main__":
    confine()
    if sys.argv[5:]:
        os.environ["OPENBLAS_NUM_THREADS"] = "1"  # its threads take address space, and a decoder needs none
        writable = sys.argv[6].split(os.pathsep)
        os.environ["TMPDIR"] = writable[0]
        confine_to_files(sys.argv[7:], writable, int(sys.argv[5]))
    from stemline_server.isolation.child import main  # its imports start threads, which a later confinement misses

    main()
