"""The order of the files for several workers: long ones first, so that none is left at the end.

A worker takes a file as a whole, so that what its tests share is made once, and the next one when
it has finished. The cells of a notebook are such a file, too. Notebooks that train the same runs
stand apart, or one would wait for the other.
"""

ORDER = (  # about so many seconds of processor time, on a busy machine: the order is what counts
    "tests/browser/test_explorer.py",  # 50
    "tests/train/test_loop.py",  # 44; it compiles a tower
    "tests/reproduce/test_photographs_notebooks.py",  # 42
    "tests/train/test_photos_smoke.py",  # 33; 5 GB
    "notebooks/04_train_methods.ipynb",  # 30; makes runs that others look at
    "tests/train/test_resume.py",  # 26
    "notebooks/15_cure_leak.ipynb",  # 25
    "tests/checkpoints/test_relatives.py",  # 20
    "notebooks/05_ablate_beta.ipynb",  # 20
    "tests/train/test_lean_memory.py",  # 17
    "tests/house/test_pretended_gpu.py",  # 17
    "tests/reproduce/test_shipping.py",  # 17
    "tests/explorer/test_workbench.py",  # 17
    "notebooks/13_ablate_mulclip.ipynb",  # 17
    "tests/model/test_all_methods.py",  # 16
    "tests/reproduce/test_redraw.py",  # 15
    "tests/train/test_distributed.py",  # 14
    "tests/train/test_choice.py",  # 14
    "tests/reproduce/test_book.py",  # 14
    "notebooks/18_wake_sigmoid.ipynb",  # 17
    "tests/data/test_batches.py",  # 13
    "tests/train/test_shards.py",  # 13
    "tests/reproduce/test_pages.py",  # 13
    "notebooks/14_compare_relatives.ipynb",  # 13
    "tests/explorer/test_widget.py",  # 13
    "tests/checkpoints/test_hub.py",  # 12
    "tests/evaluation/test_held_out.py",  # 12
    "tests/data/test_loader_memory.py",  # 11
    "notebooks/06_draw_attention.ipynb",  # 10
    "tests/model/test_methods.py",  # 11
    "tests/studies/test_curves.py",  # 11
    "tests/reproduce/test_collection.py",  # 10, and its kernels
    "tests/checkpoints/test_open_clip.py",  # 10
    "notebooks/11_explore_attention.ipynb",  # 10
    "tests/studies/test_runs.py",  # 9
    "tests/studies/test_sigmoid.py",  # 9
    "tests/studies/test_search.py",  # 9
    "tests/data/test_real_sets.py",  # 9
    "tests/checkpoints/test_fuzz.py",  # 9
    "tests/studies/test_leak.py",  # 9
)
_RANKS = {name: number for number, name in enumerate(ORDER)}


def rank(file: str) -> int:
    """Where a file's tests come among all, by its path below the repository.

    After those of `ORDER` the other notebooks, then the rest.
    """
    return _RANKS.get(file, len(ORDER) + (not file.startswith("notebooks/")))
