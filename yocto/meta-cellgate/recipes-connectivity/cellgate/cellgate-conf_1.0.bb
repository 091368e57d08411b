SUMMARY = "The configuration of cellgate on this machine"
DESCRIPTION = "An example with one route. Bring your own cellgate.toml by a .bbappend, for all machines or in a folder \
with the name of one: the package of the agent stays the same for all of them."
HOMEPAGE = "https://github.com/cellgate/cellgate"
BUGTRACKER = "https://github.com/cellgate/cellgate/issues"
SECTION = "net"
LICENSE = "Apache-2.0"
# nooelint: oelint.var.licenseremotefile - the file is our own
LIC_FILES_CHKSUM = "file://${COMMON_LICENSE_DIR}/Apache-2.0;md5=89aea4e17d99a7cacdbeed46a0096b10"
# Nothing that a weakness could be found in.
CVE_PRODUCT = ""

SRC_URI = "file://cellgate.toml"

S = "${UNPACKDIR}"

inherit useradd

# What a cell is called and which controllers it has is of one machine.
PACKAGE_ARCH = "${MACHINE_ARCH}"

# The same words as in the recipe of the agent: whichever is installed first makes the group.
USERADD_PACKAGES = "${PN}"
GROUPADD_PARAM:${PN} = "--system cellgate"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    install -d -m 0750 -g cellgate ${D}${sysconfdir}/cellgate
    install -m 0640 -g cellgate ${UNPACKDIR}/cellgate.toml ${D}${sysconfdir}/cellgate/cellgate.toml
}

CONFFILES:${PN} = "${sysconfdir}/cellgate/cellgate.toml"
