"""A signal for each answer, for a site that counts them.

    from flask_autoconfig.signals import answered

    @answered.connect
    def count(sender, family, outcome, **_): ...

`family` is a name of the families' table; `outcome` is `served`, `not modified`,
`redirected`, `preflight`, `not served`, `bad request`, `wrong method`, `unavailable` or
`failed`. The signal carries no address. The sender is the service that answered
(`app.extensions["autoconfig"]`, `AutoconfigMiddleware.service`). A receiver that raises is
logged, and changes no answer.
"""

from blinker import Namespace

answered = Namespace().signal("autoconfig-answered")
