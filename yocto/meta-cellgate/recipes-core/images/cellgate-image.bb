SUMMARY = "A small gateway: boots, takes SSH, and runs cellgate"
DESCRIPTION = "An example to start from. It is also what the oeqa runtime case of this layer is run on."
HOMEPAGE = "https://github.com/cellgate/cellgate"
BUGTRACKER = "https://github.com/cellgate/cellgate/issues"
SECTION = "images"
LICENSE = "Apache-2.0"
# The packages have theirs.
CVE_PRODUCT = ""

inherit core-image

IMAGE_INSTALL = "packagegroup-core-boot packagegroup-cellgate ${CORE_IMAGE_EXTRA_INSTALL}"
IMAGE_FEATURES += "ssh-server-dropbear"
IMAGE_LINGUAS = ""
