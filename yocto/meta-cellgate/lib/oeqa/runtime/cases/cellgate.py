#
# SPDX-License-Identifier: Apache-2.0
#

"""The agent on a running image: it serves, as the right user, and comes back when it hangs."""

import time

from oeqa.core.decorator.data import skipIfNotFeature
from oeqa.core.decorator.depends import OETestDepends
from oeqa.runtime.case import OERuntimeTestCase
from oeqa.runtime.decorator.package import OEHasPackage

# WatchdogSec of the unit is 30 s, TimeoutStopSec 10 s and RestartSec 1 s; an emulated machine is slow.
RESTART_LIMIT = 180
START_LIMIT = 60


class CellgateTest(OERuntimeTestCase):
    def command(self, line):
        """What it prints; the test fails if it does."""
        status, output = self.target.run(line)
        self.assertEqual(status, 0, msg="%s ended with %d:\n%s" % (line, status, output))
        return output.strip()

    def until(self, limit, what, condition):
        """Waits for it, and shows the unit's state if it does not come."""
        end = time.monotonic() + limit
        while time.monotonic() < end:
            found = condition()
            if found:
                return found
            time.sleep(1)
        state = self.target.run("systemctl status --full cellgate; journalctl --no-pager -n 40 -u cellgate")[1]
        self.fail("%s: not within %d s\n%s" % (what, limit, state))

    def active(self):
        return self.target.run("systemctl is-active cellgate")[1].strip() == "active"

    def pid(self):
        found = self.command("systemctl show --property=MainPID --value cellgate")
        return found if found != "0" else None

    @OETestDepends(["ssh.SSHTest.test_ssh"])
    @OEHasPackage(["cellgate"])
    def test_version(self):
        self.assertRegex(self.command("cellgate --version"), r"^cellgate \d+\.\d+\.\d+")

    @OETestDepends(["cellgate.CellgateTest.test_version"])
    @OEHasPackage(["cellgate-conf"])
    def test_configuration_is_kept_from_others(self):
        self.assertEqual(
            self.command("stat -c '%a %U %G' /etc/cellgate/cellgate.toml"), "640 root cellgate"
        )

    @OETestDepends(["cellgate.CellgateTest.test_version"])
    @skipIfNotFeature("systemd", "the unit is for images with systemd")
    def test_active(self):
        self.until(START_LIMIT, "cellgate.service is active", self.active)

    @OETestDepends(["cellgate.CellgateTest.test_active"])
    def test_user(self):
        pid = self.pid()
        # Not the owner of the folder in /proc: a process that leaves no core dump has its files there owned by root.
        for line, name in (("Uid", "id -u cellgate"), ("Gid", "id -g cellgate")):
            found = self.command("grep ^%s: /proc/%s/status" % (line, pid)).split()[1:]
            self.assertEqual(set(found), {self.command(name)}, msg="%s of process %s" % (line, pid))
        # No capability in any of its sets.
        capabilities = self.command("grep ^Cap /proc/%s/status" % pid)
        self.assertEqual({line.split()[1] for line in capabilities.splitlines()}, {"0" * 16}, msg=capabilities)

    @OETestDepends(["cellgate.CellgateTest.test_active"])
    def test_status(self):
        self.assertIn("cellgate", self.command("cellgate status"))

    @OETestDepends(["cellgate.CellgateTest.test_user", "cellgate.CellgateTest.test_status"])
    def test_restart_after_hanging(self):
        before = self.pid()
        self.command("kill -STOP %s" % before)
        self.until(RESTART_LIMIT, "systemd ends the stopped agent and starts another",
                   lambda: self.active() and self.pid() not in (None, before))
        self.assertIn("cellgate", self.command("cellgate status"))
