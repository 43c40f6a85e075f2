"""Programs from Debian's packages on a machine that has some of them."""

from benchmarks.debian_packages import without

_STATUS = """\
Package: libc6
Depends: libgcc-s1

Package: libspatialite7
Depends: libc6 (>= 2.34)

Package: libsqlite3-mod-spatialite
Depends: libc6 (>= 2.34), libspatialite7 (>= 5)

Package: python3-qgis
Depends: python3, gdal | libsqlite3-mod-spatialite (>= 4), libc6

Package: qgis-plugins
Depends: python3-qgis (= 3)

Package: libsqlite3-mod-other
Depends: libc6
"""


def test_dependents_of_a_package_leave_with_it() -> None:
    """Else apt plans nothing: "unmet dependencies". A package whose name is only similar stays."""
    left = without(_STATUS, {"libsqlite3-mod-spatialite"})
    names = [line.split()[1] for line in left.splitlines() if line.startswith("Package")]
    assert names == ["libc6", "libspatialite7", "libsqlite3-mod-other"]
    assert without(_STATUS, {"lighttpd"}) == _STATUS
