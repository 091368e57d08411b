SUMMARY = "The destination side of AWS IoT Secure Tunneling for the gateway of a robot cell"
DESCRIPTION = "cellgate holds the destination side of AWS IoT Secure Tunneling on a gateway \
and relays each stream of the tunnel to a robot controller. It takes the place of localproxy -d. \
Memory is bounded by design, and it runs as a user of its own without any capability."
HOMEPAGE = "https://github.com/cellgate/cellgate"
BUGTRACKER = "https://github.com/cellgate/cellgate/issues"
SECTION = "net"
LICENSE = "Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE;md5=3b83ef96387f14655fc854ddc3c6bd57"
CVE_PRODUCT = "cellgate"

SRC_URI = "git://github.com/cellgate/cellgate.git;protocol=https;branch=main"
SRCREV = "e80f5f2c2d9b2f9d95b7eeb9ecfe1871838bf9c8"

require ${BPN}-crates.inc

inherit cargo cargo-update-recipe-crates ptest-cargo systemd update-rc.d useradd

# The crate has no features of its own. `static` links the C library in, so that the binary runs on any userland.
PACKAGECONFIG ??= ""
PACKAGECONFIG[static] = ""
RUSTFLAGS:append = "${@bb.utils.contains('PACKAGECONFIG', 'static', ' -C target-feature=+crt-static', '', d)}"

SYSTEMD_SERVICE:${PN} = "cellgate.service"

INITSCRIPT_NAME = "cellgate"
INITSCRIPT_PARAMS = "defaults 90 10"

USERADD_PACKAGES = "${PN}"
GROUPADD_PARAM:${PN} = "--system cellgate"
USERADD_PARAM:${PN} = "--system --gid cellgate --no-create-home --home-dir /nonexistent --shell ${base_sbindir}/nologin cellgate"

# In a folder of their own, since do_install takes the agent from where cargo put it last and the tests build it again;
# and without the long optimisation across crates, once for each of them.
CARGO_BUILD_FLAGS:append:task-compile-ptest-cargo = " --target-dir ${B}/ptest --config profile.release.lto=false"
# ptest-cargo builds every test it finds. The end-to-end tests look for the agent where it was built and are of no use on
# the target, so cargo is not shown them for as long as this task runs.
do_compile_ptest_cargo[prefuncs] += "hide_end_to_end_tests"
do_compile_ptest_cargo[postfuncs] += "show_end_to_end_tests keep_unit_tests"
hide_end_to_end_tests[doc] = "Tells cargo not to look for tests in the folder tests"
hide_end_to_end_tests() {
    show_end_to_end_tests
    sed -i 's/^\[package\]$/&\nautotests = false/' ${CARGO_MANIFEST_PATH}
}
show_end_to_end_tests[doc] = "Leaves Cargo.toml as it was before hide_end_to_end_tests"
show_end_to_end_tests() {
    sed -i '/^autotests = false$/d' ${CARGO_MANIFEST_PATH}
}
# What runs on the target: the unit tests. ptest-cargo would take everything cargo made on the way: the agent itself, which
# is no test, and the one end-to-end test that Cargo.toml names.
keep_unit_tests[doc] = "Leaves the unit tests alone in the list of what is run on the target"
python keep_unit_tests() {
    import re

    with open(d.getVar("CARGO_TEST_BINARIES_FILES")) as listed:
        found = listed.read().split()
    kept = [path for path in found if re.fullmatch("cellgate-[0-9a-f]{16}", os.path.basename(path))]
    if not kept:
        bb.fatal("No unit tests among what cargo built: %s" % " ".join(found))
    with open(d.getVar("CARGO_TEST_BINARIES_FILES"), "w") as listed:
        listed.writelines(path + "\n" for path in kept)
}

do_install:append() {
    install -D -m 0644 ${S}/yocto/service/cellgate.rules ${D}${nonarch_base_libdir}/udev/rules.d/60-cellgate.rules

    if ${@bb.utils.contains('DISTRO_FEATURES', 'systemd', 'true', 'false', d)}; then
        install -D -m 0644 ${S}/yocto/service/cellgate.service ${D}${systemd_system_unitdir}/cellgate.service
        install -D -m 0644 ${S}/yocto/service/cellgate.sysusers ${D}${nonarch_libdir}/sysusers.d/cellgate.conf
        sed -i -e 's,/usr/bin/cellgate,${bindir}/cellgate,g' \
               -e 's,/bin/kill,${base_bindir}/kill,g' \
               -e 's,/etc/cellgate,${sysconfdir}/cellgate,g' \
               ${D}${systemd_system_unitdir}/cellgate.service
    elif ${@bb.utils.contains('DISTRO_FEATURES', 'sysvinit', 'true', 'false', d)}; then
        install -D -m 0755 ${S}/yocto/service/cellgate.init ${D}${sysconfdir}/init.d/cellgate
        sed -i -e 's,/usr/bin/cellgate,${bindir}/cellgate,g' \
               -e 's,/etc/cellgate,${sysconfdir}/cellgate,g' \
               ${D}${sysconfdir}/init.d/cellgate
    fi
}

FILES:${PN} += "${nonarch_libdir}/sysusers.d"

RRECOMMENDS:${PN} += "cellgate-conf"
