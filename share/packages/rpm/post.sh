# shellcheck shell=sh
# Owners, the folder for profiles of administrators, the timer and the socket. Hooks are registered by 'oneks setup'.
if getent passwd oneadmin >/dev/null && getent group oneadmin >/dev/null && [ -d /var/lib/one ]; then
    if [ ! -d /var/lib/one/oneks/profiles ]; then
        mkdir -p /var/lib/one/oneks
        install -d -o root -g oneadmin -m 0750 /var/lib/one/oneks/profiles
    fi
    if [ "$1" -eq 1 ]; then
        chown root:oneadmin /etc/one/oneks.conf
        echo "oneks: run 'oneks setup' as oneadmin to register the hooks, and 'oneks doctor' to see what is missing"
    fi
fi
units='opennebula-ks-sweep.timer opennebula-ks-gateway.socket'
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload >/dev/null 2>&1 || :
    # The next request starts the new one.
    systemctl stop opennebula-ks-gateway.service >/dev/null 2>&1 || :
    if [ "$1" -eq 1 ]; then
        # shellcheck disable=SC2086 # several words
        systemctl enable --now $units >/dev/null 2>&1 || :
    fi
elif [ "$1" -eq 1 ]; then
    # shellcheck disable=SC2086 # several words
    systemctl enable $units >/dev/null 2>&1 || :
fi
