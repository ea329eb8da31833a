"""The one look of all HTML pages: `data check`, `train`, `eval`, `verify`, `tune` and `bench report` write theirs here.

A command builds a :class:`~edge_seg.pages.page.Page` of blocks (:mod:`edge_seg.pages.blocks`), with plots
(:mod:`edge_seg.pages.plots`) and images (:mod:`edge_seg.pages.images`) inside, and writes it as one file. jinja2 and
matplotlib (the extra `report`) are imported only when a page is made.
"""
