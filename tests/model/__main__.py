"""`python -m tests.model [EXAMPLES]`: the models at length, with other examples each time."""

import sys

from tests.model import test_stores, test_tree

if __name__ == "__main__":
    examples = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    test_tree.at_length(examples)
    test_stores.at_length(examples)
