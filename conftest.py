"""What all tests share: BLAS on one thread.

They are many small products, which threads do not speed up, but which wait for one another's threads for seconds
where something else keeps a core busy. The setting counts before NumPy's import, and an own one is left alone.
"""

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
