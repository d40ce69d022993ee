# shellcheck shell=sh
# What was made at run time. Profiles of administrators and the log stay; rpm itself keeps edited configuration.
if [ "$1" -eq 0 ]; then
    rm -rf /run/lock/one/oneks
    # The package owns its files only. A folder in which an administrator has a driver of his own stays.
    find /usr/lib/one/oneks /usr/share/one/oneks /usr/share/doc/oneks /usr/share/licenses/oneks \
        /usr/lib/systemd/system/opennebula-hem.service.d -depth -type d -empty -delete 2>/dev/null || :
    if [ -d /var/lib/one/oneks ]; then
        rmdir --ignore-fail-on-non-empty /var/lib/one/oneks/profiles /var/lib/one/oneks 2>/dev/null || :
    fi
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload >/dev/null 2>&1 || :
fi
