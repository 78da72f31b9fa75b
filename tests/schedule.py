"""The order of the tests for several workers: long files first, so that none is left at the end.

`--dist worksteal` gives each of two workers a half of the list, in its order; who has finished
takes from the end of the other's. A file taken in its middle would make what its tests share twice.
"""

LONG = (  # about so many seconds of processor time, on a busy machine: the order is what counts
    "browser/test_explorer.py",  # 43
    "train/test_distributed.py",  # 40
    "reproduce/test_photographs_notebooks.py",  # 30
    "studies/test_sigmoid.py",  # 26
    "studies/test_curves.py",  # 25
    "studies/test_runs.py",  # 22
    "house/test_pretended_gpu.py",  # 20
    "data/test_loader_memory.py",  # 18
    "train/test_resume.py",  # not measured; kills twenty runs
    "reproduce/test_book.py",  # 16
    "train/test_gradient_cache.py",  # 16
    "reproduce/test_collection.py",  # 15
    "train/test_ending.py",  # 14
    "studies/test_search.py",  # 14
    "model/test_all_methods.py",  # 14
    "reproduce/test_pages.py",  # 12
    "train/test_loop.py",  # 12
    "explorer/test_widget.py",  # 11
    "explorer/test_workbench.py",  # 11
    "studies/test_leak.py",  # 10
    "checkpoints/test_relatives.py",  # 16, in small pieces
    "checkpoints/test_hub.py",  # 10
)


def long_first(files: list[str]) -> list[int]:
    """The order to run tests in: their places in a list of each test's file below `tests/`.

    Each half of what is returned begins with its share of the long files, the longest first.
    """
    ranks = {name: number for number, name in enumerate(LONG)}
    shares: tuple[list[int], list[int]] = ([], [])
    others = [place for place, name in enumerate(files) if name not in ranks]
    for place in sorted(set(range(len(files))) - set(others), key=lambda p: (ranks[files[p]], p)):
        shares[(ranks[files[place]] + 1) // 2 % 2].append(place)  # 0, 1, 1, 0, 0, 1, …
    cut = max(0, len(files) // 2 - len(shares[0]))
    return shares[0] + others[:cut] + shares[1] + others[cut:]
