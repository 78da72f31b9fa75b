"""The order of the files for several workers: long ones first, so that none is left at the end.

A worker takes a file as a whole, so that what its tests share is made once, and the next one when
it has finished. The cells of a notebook are such a file, too. Notebooks that train the same runs
stand apart, or one would wait for the other.
"""

ORDER = (  # about so many seconds of processor time, on a busy machine: the order is what counts
    "tests/browser/test_explorer.py",  # 70
    "tests/train/test_loop.py",  # 75; it compiles a tower
    "tests/reproduce/test_photographs_notebooks.py",  # 90
    "tests/train/test_distributed.py",  # 50
    "notebooks/04_train_methods.ipynb",  # makes runs that others look at
    "tests/train/test_resume.py",  # 40
    "notebooks/15_cure_leak.ipynb",
    "tests/checkpoints/test_hub.py",  # 30
    "tests/house/test_pretended_gpu.py",  # 24
    "notebooks/13_ablate_mulclip.ipynb",
    "tests/data/test_loader_memory.py",  # 24
    "tests/checkpoints/test_relatives.py",  # 23
    "notebooks/14_compare_relatives.ipynb",
    "tests/model/test_all_methods.py",  # 22
    "tests/studies/test_runs.py",  # 22
    "notebooks/05_ablate_beta.ipynb",
    "tests/reproduce/test_collection.py",  # 19
    "tests/explorer/test_workbench.py",  # 17
    "notebooks/18_wake_sigmoid.ipynb",
    "tests/reproduce/test_pages.py",  # 16
    "tests/reproduce/test_book.py",  # 15
    "tests/reproduce/test_shipping.py",  # 15
    "notebooks/12_draw_mulclip.ipynb",
    "tests/explorer/test_widget.py",  # 12
    "tests/train/test_gradient_cache.py",  # 12
    "tests/studies/test_search.py",  # 11
    "tests/studies/test_sigmoid.py",  # 10
    "tests/studies/test_curves.py",  # 10
    "tests/studies/test_leak.py",  # 10
    "tests/train/test_ending.py",  # 5, most of it waiting
)
_RANKS = {name: number for number, name in enumerate(ORDER)}


def rank(file: str) -> int:
    """Where a file's tests come among all, by its path below the repository.

    After those of `ORDER` the other notebooks, then the rest.
    """
    return _RANKS.get(file, len(ORDER) + (not file.startswith("notebooks/")))
