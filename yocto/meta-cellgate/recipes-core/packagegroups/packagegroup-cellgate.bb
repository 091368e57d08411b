SUMMARY = "Remote access to a robot cell by AWS IoT Secure Tunneling"
DESCRIPTION = "The agent, the configuration of this machine, and the time zones that its access windows are told in."
HOMEPAGE = "https://github.com/cellgate/cellgate"
BUGTRACKER = "https://github.com/cellgate/cellgate/issues"
SECTION = "net"
LICENSE = "Apache-2.0"

# The configuration is of one machine, and so is what asks for it.
PACKAGE_ARCH = "${MACHINE_ARCH}"

inherit packagegroup

RDEPENDS:${PN} = "cellgate cellgate-conf"
RRECOMMENDS:${PN} = "tzdata-core"
