# shellcheck shell=sh
# What was made at run time. Profiles of administrators and the log stay; rpm itself keeps edited configuration.
if [ "$1" -eq 0 ]; then
    rm -rf /run/lock/one/oneks
    if [ -d /var/lib/one/oneks ]; then
        rmdir --ignore-fail-on-non-empty /var/lib/one/oneks/profiles /var/lib/one/oneks 2>/dev/null || :
    fi
fi
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload >/dev/null 2>&1 || :
fi
