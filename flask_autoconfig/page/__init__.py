"""The setup page at `/mail/setup`, which tells people what to enter in their program.

Its HTML is in `templates/autoconfig/`: `setup.html` and `base.html` are the layout,
`parts/` the content, `steps/` the steps of each program. The texts there and in the code
are English; `locale/` has a gettext catalog for each other language.
"""
