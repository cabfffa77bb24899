"""The page for people: which settings to enter where, at `/mail/setup`.

Its HTML is in `templates/autoconfig/`: `setup.html` and `base.html` are the layout,
`parts/` the content, `steps/` what to do in each program. The texts are English there and
in the code; `locale/` has a gettext catalog for each other language.
"""
