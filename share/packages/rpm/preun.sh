# shellcheck shell=sh
# The timer and the gateway stop and the hooks go, so that the hook manager doesn't start what is not there any more. Clusters go on
# living; a later installation takes them over.
if [ "$1" -eq 0 ]; then
    systemctl --no-reload disable --now opennebula-ks-sweep.timer opennebula-ks-gateway.socket >/dev/null 2>&1 || :
    systemctl stop opennebula-ks-gateway.service >/dev/null 2>&1 || :
    # Other front-ends may still need the hooks: only the leader, or a front-end without others, takes them away.
    if getent passwd oneadmin >/dev/null && [ -e /var/lib/one/.one/one_auth ]; then
        timeout 60 runuser -u oneadmin -- env -i HOME=/var/lib/one PATH=/usr/bin:/bin \
            /usr/bin/oneks setup --remove --only-leader ||
            echo "oneks: the hooks could not be removed; 'onehook list' shows those whose names begin with oneks-" >&2
    fi
fi
