#!/usr/bin/env bash
# Has Schemathesis make requests from the gateway's OpenAPI document and check every answer against it. OpenNebula is the
# sandbox with the hooks installed; clusters run in it.
#
#   tests/gateway.sh SCHEMATHESIS [PROFILE] [OPTION...]
#
# SCHEMATHESIS is the program, PROFILE one of cargo's (dev); options are Schemathesis' own, such as --max-examples=200.
set -euo pipefail
cd "$(dirname "$0")/.."

schemathesis=$(realpath "${1:?"usage: tests/gateway.sh SCHEMATHESIS [PROFILE] [OPTION...]"}")
profile=${2:-dev}
shift $(($# > 1 ? 2 : 1))
target=$(cargo metadata --format-version 1 --no-deps --locked | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
folder=$profile
[ "$profile" != dev ] || folder=debug
cargo build --quiet --locked --profile "$profile" --bins
built=$target/$folder

work=$(mktemp -d "${TMPDIR:-/tmp}/oneks-gateway.XXXXXX")
started=()
# shellcheck disable=SC2317 # the trap calls it
end() {
    local one
    for one in "${started[@]}"; do
        kill -- "-$one" 2>/dev/null || true
    done
    rm -rf "$work"
}
trap end EXIT

ready() { # file, text
    for _ in $(seq 200); do
        ! grep -q "$2" "$1" || return 0
        sleep 0.05
    done
    cat "$1" >&2
    return 1
}

export ONE_LOCATION=$work/one HOME=$work/one/var
mkdir -p "$HOME/.one"
set -m # process groups, to end each as a whole
"$built/oneks-sandbox" serve --port 0 --dir "$HOME/.one" --speed 60 --env "ONE_LOCATION=$ONE_LOCATION" \
    --timer "60:$ONE_LOCATION/lib/oneks/hooks/sweep" >"$work/sandbox.log" 2>&1 &
started+=($!)
ready "$work/sandbox.log" '^ready'
unset ONE_XMLRPC ONE_AUTH
./install.sh -u "$(id -un)" -g "$(id -gn)" -d "$ONE_LOCATION" --programs "$built" 2>"$work/install.log" ||
    { cat "$work/install.log" >&2; exit 1; }
"$ONE_LOCATION/bin/oneks-gateway" --listen 127.0.0.1:0 2>"$work/gateway.log" &
started+=($!)
set +m
ready "$work/gateway.log" 'listening on'
address=$(sed -n 's/.*listening on \([0-9.:]*\) .*/\1/p' "$work/gateway.log")

user=$(cat "$HOME/.one/alice_auth")
ask() { # method, path, body
    curl --silent --show-error --fail-with-body -u "$user" -X "$1" -H 'Content-Type: application/json' \
        ${3:+--data "$3"} "http://$address/api/v1$2"
}
place='"deployment":{"cluster":{"id":0},"networks":{"public":{"id":0},"private":{"id":1}}}'
for name in shop web; do
    ask POST /clusters "{\"name\":\"$name\",\"kubernetes_version\":\"v1.33.7\",$place,\"spec\":{\"flavour\":\"standalone\"}}" >/dev/null
done
ONE_AUTH=$HOME/.one/alice_auth "$ONE_LOCATION/bin/oneks" create nodegroup workers -c shop --flavour small -n 1 --wait --timeout 1h >/dev/null
ask GET '/clusters?state=RUNNING' | grep -q '"ID"' || { echo "no cluster runs" >&2; exit 1; }

cat >"$work/schemathesis.toml" <<'TOML'
[generation]
# Parameters that nobody knows are passed over, as by the old server.
allow-extra-parameters = false
TOML
status=0
# A body of the right form may still ask for what is not there, so not every one is accepted.
run() ( # credentials, options. What it remembers is not for this tree
    cd "$work"
    local credentials=$1
    shift
    "$schemathesis" --config-file "$work/schemathesis.toml" run "http://$address/openapi.json" --auth "$credentials" \
        --checks all --exclude-checks positive_data_acceptance --generation-database none "$@"
)
# First as somebody whom nothing is forbidden and who deletes nothing, then as a user, to the end.
run "$(cat "$HOME/.one/one_auth")" --exclude-method DELETE "$@" || status=$?
run "$user" "$@" || status=$?
printf '\nanswers by status:\n'
sed -n 's/.*: \([0-9]\{3\}\) in [0-9]* ms$/\1/p' "$work/gateway.log" | sort | uniq -c
if grep -qE 'panicked|: 500 in' "$work/gateway.log"; then
    grep -E 'panicked|: 500 in' "$work/gateway.log" | head
    status=1
fi
exit "$status"
