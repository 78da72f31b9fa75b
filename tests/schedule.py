"""The order of the files for several workers: long ones first, so that none is left at the end.

A worker takes a file as a whole, so that what its tests share is made once, and the next one when
it has finished. The cells of a notebook are such a file, too.
"""

ORDER = (  # about so many seconds of processor time, on a busy machine: the order is what counts
    "tests/browser/test_explorer.py",  # 43
    "tests/train/test_distributed.py",  # 40
    "tests/reproduce/test_photographs_notebooks.py",  # 30
    "tests/studies/test_sigmoid.py",  # 26
    "tests/studies/test_curves.py",  # 25
    "tests/studies/test_runs.py",  # 22
    "tests/house/test_pretended_gpu.py",  # 20
    "tests/data/test_loader_memory.py",  # 18
    "tests/train/test_resume.py",  # not measured; kills twenty runs
    "tests/reproduce/test_book.py",  # 16
    "tests/train/test_gradient_cache.py",  # 16
    "tests/reproduce/test_collection.py",  # 15
    "tests/train/test_ending.py",  # 14
    "tests/studies/test_search.py",  # 14
    "tests/model/test_all_methods.py",  # 14
    "tests/reproduce/test_pages.py",  # 12
    "tests/train/test_loop.py",  # 12
    "tests/explorer/test_widget.py",  # 11
    "tests/explorer/test_workbench.py",  # 11
    "tests/studies/test_leak.py",  # 10
    "tests/checkpoints/test_relatives.py",  # 16, in small pieces
    "tests/checkpoints/test_hub.py",  # 10
)
_RANKS = {name: number for number, name in enumerate(ORDER)}


def rank(file: str) -> int:
    """Where a file's tests come among all; by its path below the repository."""
    return _RANKS.get(file, len(ORDER))
