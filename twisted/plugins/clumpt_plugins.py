"""What C{twistd} can run: modules are named here and imported only when they are chosen."""

from twisted.application.service import ServiceMaker

peer = ServiceMaker("Clumpt peer", "clumpt.apps.daemon", "Run a Clumpt peer (clumptd).", "clumpt")
submit = ServiceMaker(
    "Clumpt submit", "clumpt.apps.submit", "Submit an update and follow it (clumpt).", "clumpt-submit"
)
conf = ServiceMaker("Clumpt conf", "clumpt.apps.conf", "Add and change peers (clumptconf).", "clumpt-conf")
directory = ServiceMaker(
    "Clumpt directory",
    "clumpt.apps.directory",
    "Run a small LDAP directory for try-outs and small sites.",
    "clumpt-directory",
)
