"""Statistics of where and when: pure, no clock, no files; chance only from a seed that is passed.

The analysts' commands (`quanyu stats`) and the hot-spot room call the same functions.
"""
