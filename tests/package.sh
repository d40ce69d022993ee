#!/usr/bin/env bash
# Builds the packages, checks them, and tries each in a fresh Debian root: installed, set up against the sandbox on
# loopback, a cluster brought up by an ordinary user, removed while the cluster lives, installed again, purged.
#
#   tests/package.sh [--trial]     --trial: without link-time optimisation, which takes most of the time
#
# Needs root, a Rust toolchain and the Debian archive; installs the tools that it uses. Figures are printed as JSON.
set -euo pipefail
cd "$(dirname "$0")/.."

profile=release
case ${1:-} in
    '') ;;
    --trial) profile=trial ;;
    *) sed -n '2,7s/^# \{0,1\}//p' "$0"; exit 64 ;;
esac

suite=bookworm
port=12633
target=$(cargo metadata --format-version 1 --no-deps --locked | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
work=$target/packages
collected=$work/target # as cargo would leave them, for the tools that pack
built=$collected/$profile
out=$work/out
programs='oneks oneks-gateway sweep'
hooks='document vm_state vm_update guest_exec vrouter capone dummy'
mkdir -p "$work"

say() { printf '\n== %s\n' "$*" >&2; }
die() { printf 'tests/package.sh: %s\n' "$*" >&2; exit 1; }
figures=()
figure() { figures+=("\"$1\":$2"); }

# --- tools and programs -----------------------------------------------------------------------------------------

tools() {
    local missing=()
    command -v debootstrap >/dev/null || missing+=(debootstrap)
    command -v lintian >/dev/null || missing+=(lintian)
    command -v rpm >/dev/null || missing+=(rpm)
    command -v dpkg-shlibdeps >/dev/null || missing+=(dpkg-dev)
    command -v readelf >/dev/null || missing+=(binutils)
    command -v systemd-analyze >/dev/null || missing+=(systemd)
    if [ ${#missing[@]} -gt 0 ]; then
        say "installing ${missing[*]}"
        apt-get -qq update
        DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "${missing[@]}" >/dev/null
    fi
    rustup target add "$(rustc -vV | sed -n 's/^host: \(.*\)-gnu$/\1-musl/p')"
    export PATH=$work/tools/bin:$PATH
    for tool in cargo-deb cargo-generate-rpm; do
        command -v "$tool" >/dev/null || cargo install --quiet --locked --root "$work/tools" "$tool"
    done
}

check_programs() {
    local program needed size
    for program in $hooks; do
        if readelf -d "$built/$program" | grep -q 'NEEDED\|FLAGS.*TEXTREL'; then die "$program is not static"; fi
    done
    for program in $programs; do
        needed=$(readelf -d "$built/$program" | sed -n 's/.*(NEEDED).*\[\(.*\)\].*/\1/p')
        for library in $needed; do
            case $library in
                libc.so.6 | libm.so.6 | ld-linux-*.so.*) ;; # all of the C library
                *) die "$program needs $library" ;;
            esac
        done
    done
    size=$(stat -c %s "$built/vm_state")
    figure vm_state_bytes "$size"
    if [ "$profile" = release ] && [ "$size" -ge $((9 << 18)) ]; then
        die "vm_state has $size bytes, 2.25 MiB is the limit, its C library included"
    fi
}

# --- packages ---------------------------------------------------------------------------------------------------

check_unit() {
    local unit
    for unit in sweep gateway; do
        systemd-analyze security --offline=true --threshold=20 --no-pager "share/systemd/opennebula-ks-$unit.service" |
            tail -n 1 >&2
    done
}

check_rpm() { # package: files, owners, modes and configuration as rpm sees them
    rpm -qp --qf '[%{FILEMODES:octal} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILEFLAGS:fflags} %{FILENAMES}\n]' "$1" >"$work/rpm.list"
    grep -qx '100640 root:root cn /etc/one/oneks.conf' "$work/rpm.list" || die "oneks.conf is not marked in the RPM"
    grep -qx '100644 root:root cn /etc/logrotate.d/opennebula-ks' "$work/rpm.list" || die "logrotate is not marked in the RPM"
    [ "$(rpm -qp --conflicts "$1")" = opennebula-ks ] || die "the RPM does not conflict with opennebula-ks"
    ! rpm -qp --requires "$1" | grep -v '^libc\.so\|^libm\.so\|^ld-linux\|^rtld\|^rpmlib\|^/bin/sh\|^/usr/bin/env$\|^config(oneks)' || die "the RPM requires more than libc"
}

# --- scratch roots ----------------------------------------------------------------------------------------------

base() {
    [ -e "$work/base/.complete" ] && return
    say "debootstrap $suite"
    local mirror
    # From where this machine has its own packages.
    # shellcheck disable=SC2016 # apt's words
    mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | grep -v security | head -n 1)
    [ -n "$mirror" ] || die "apt names no archive"
    rm -rf "$work/base"
    debootstrap --variant=minbase "$suite" "$work/base" "$mirror" >"$work/debootstrap.log" ||
        { tail "$work/debootstrap.log" >&2; die "debootstrap failed"; }
    touch "$work/base/.complete"
}

root='' sandbox=''

# With a /proc of its own, which goes with the command.
# shellcheck disable=SC2016 # the inner shell's words
with_proc() { unshare --mount sh -c 'mount -t proc proc "$0/proc" && exec "$@"' "$root" "$@"; }

as() { # user command ...
    local user=$1 home
    shift
    home=$(sed -n "s/^$user:.*:\(.*\):.*/\1/p" "$root/etc/passwd")
    with_proc chroot "$root" runuser -u "$user" -- env -i -C "$home" HOME="$home" PATH=/usr/bin:/bin "$@"
}

front_end() { # a root as OpenNebula's own packages leave it
    rm -rf "$root"
    cp -a "$work/base" "$root"
    rm "$root/.complete"
    chroot "$root" groupadd --system oneadmin
    chroot "$root" useradd --system --gid oneadmin --home-dir /var/lib/one --shell /bin/bash oneadmin
    chroot "$root" useradd --create-home alice
    chroot "$root" install -d -o oneadmin -g oneadmin -m 0750 /var/lib/one /var/log/one /var/lib/one/.one
    chroot "$root" install -d -o oneadmin -g oneadmin -m 0755 /run/lock/one
    chroot "$root" install -d -o root -g oneadmin -m 0750 /etc/one
    # OpenNebula's own; without anything in it dpkg would take the folder away.
    chroot "$root" install -o root -g oneadmin -m 0640 /dev/null /etc/one/oned.conf
    install -m 0755 "$target/$profile/oneks-sandbox" "$root/opt/oneks-sandbox"
}

start_opennebula() {
    set -m # a process group of its own, to end it as a whole
    as oneadmin /opt/oneks-sandbox serve --port $port --dir /var/lib/one/.one --speed 60 \
        --timer 60:/usr/lib/one/oneks/hooks/sweep >"$work/sandbox.log" 2>&1 &
    sandbox=$!
    set +m
    for _ in $(seq 100); do
        grep -q '^ready' "$work/sandbox.log" && break
        kill -0 "$sandbox" 2>/dev/null || break
        sleep 0.1
    done
    grep -q '^ready' "$work/sandbox.log" || { cat "$work/sandbox.log" >&2; die "the sandbox does not start"; }
    # alice works at the front-end as an ordinary user of the system.
    install -d -m 0700 "$root/home/alice/.one"
    cp "$root/var/lib/one/.one/alice_auth" "$root/home/alice/.one/one_auth"
    cp "$root/var/lib/one/.one/one_endpoint" "$root/home/alice/.one/one_endpoint"
    cat >"$root/home/alice/shop.json" <<'JSON'
{
  "kubernetes_version": "v1.34.2",
  "deployment": {
    "cluster": {"id": 0},
    "networks": {"public": {"id": 0}, "private": {"id": 1}},
    "datastores": {"image": {"id": 1}}
  },
  "control_plane": {"flavour": "standalone"},
  "node_groups": [{"name": "workers", "flavour": "small", "user_inputs_values": {"count": 2}}]
}
JSON
    chroot "$root" chown -R alice: /home/alice
}

stop_opennebula() {
    [ -n "$sandbox" ] || return 0
    kill -- "-$sandbox" 2>/dev/null || true
    wait "$sandbox" 2>/dev/null || true
    sandbox=''
}
trap stop_opennebula EXIT

# The command outside of the root, as it works after the package is gone: as oneadmin.
outside() {
    env -u ONE_LOCATION ONE_AUTH="$root/var/lib/one/.one/one_auth" ONE_XMLRPC=http://127.0.0.1:$port/RPC2 \
        "$built/oneks" "$@"
}

snapshot() { # all that is there, but the records of the package managers and what OpenNebula itself writes
    (cd "$root" && find . -xdev \( -path ./proc -o -path ./opt -o -path ./home -o -path ./tmp -o -path ./var/cache \
        -o -path ./var/lib/dpkg -o -path ./var/lib/rpm -o -name .rpmdb -o -path ./var/lib/one/.one -o -path './var/log/apt*' \
        -o -path ./var/log/dpkg.log -o -path ./var/log/alternatives.log -o -path './var/lib/apt/*' \) -prune \
        -o -printf '%p %y %m %U:%G\n' | sort)
}

check_files() { # zsh folder: owners and modes as the table has them
    local kind mode owner from to path place found wanted
    while read -r kind mode owner from to; do
        place=${to%%/*}
        case $place in
            BIN) path=/usr/bin ;;
            LIB) path=/usr/lib/one/oneks ;;
            ETC) path=/etc/one ;;
            SHARE) path=/usr/share/one/oneks ;;
            VAR) path=/var/lib/one/oneks ;;
            UNITS) path=/usr/lib/systemd/system ;;
            LOGROTATE) path=/etc/logrotate.d ;;
            BASH) path=/usr/share/bash-completion/completions ;;
            ZSH) path=$1 ;;
            FISH) path=/usr/share/fish/vendor_completions.d ;;
            DOC) path=/usr/share/doc/oneks ;;
            *) continue ;;
        esac
        path=$path/${to#*/}
        case $kind in
            files) found=$(chroot "$root" find "$path" -type f -printf '%m %u:%g\n' | sort -u) ;;
            *) found=$(chroot "$root" stat -c '%a %U:%G' "$path") ;;
        esac
        wanted="${mode#0} ${owner//ONE/oneadmin}"
        [ "$found" = "$wanted" ] || die "$path ($from): $found instead of $wanted"
    done < <(grep -v -e '^#' -e '^[[:space:]]*$' share/files.table)
}

# --- a life -----------------------------------------------------------------------------------------------------

first_cluster() {
    local begin=$SECONDS
    as oneadmin oneks setup >"$work/setup.log" || { cat "$work/setup.log" >&2; die "setup failed"; }
    as oneadmin oneks setup | grep -q '^all .* hooks are registered' || die "a second setup changed something"
    as alice oneks profile list >/dev/null
    as alice oneks create cluster shop --file shop.json --wait
    as alice oneks kubeconfig cluster shop | grep -q 'server: https://' || die "no kubeconfig"
    figure "${1}_first_cluster_seconds" $((SECONDS - begin))
}

lives_on() {
    outside setup --remove --dry-run | grep -qx 'no hooks of OneKS are registered' || die "hooks are left"
    sleep 5 # five minutes there
    outside list --csv --list NAME,STATE | grep -qx 'shop,RUNNING' || die "the cluster suffered"
}

taken_over() {
    as oneadmin oneks setup >/dev/null
    as alice oneks scale nodegroup shop/workers --target 3 --wait
    as alice oneks delete cluster shop --wait
    [ -z "$(outside audit --csv --no-header)" ] || die "something is left behind at OpenNebula"
}

left() { # file of the snapshot before: what is there now and was not, or is missing
    snapshot | { diff "$1" - || true; } | sed -n 's/^\([<>]\) \([^ ]*\) .*/\1 \2/p'
}

# --- the packages' lives ----------------------------------------------------------------------------------------

try_deb() { # package
    root=$work/root-deb
    say "trying $(basename "$1")"
    front_end
    snapshot >"$work/before"
    cp "$1" "$root/opt/oneks.deb"
    local dpkg=(with_proc chroot "$root" env DEBIAN_FRONTEND=noninteractive dpkg)
    "${dpkg[@]}" --install /opt/oneks.deb
    check_files /usr/share/zsh/vendor-completions
    start_opennebula
    first_cluster deb
    echo 'log_level: debug' >>"$root/etc/one/oneks.conf"
    "${dpkg[@]}" --install /opt/oneks.deb # again, as an upgrade does it
    grep -q '^log_level: debug' "$root/etc/one/oneks.conf" || die "the edited configuration was replaced"
    check_files /usr/share/zsh/vendor-completions
    "${dpkg[@]}" --remove oneks
    lives_on
    "${dpkg[@]}" --install /opt/oneks.deb
    taken_over
    "${dpkg[@]}" --remove oneks
    left "$work/before" >"$work/left"
    cat >"$work/expected" <<'TEXT'
> ./etc/logrotate.d/opennebula-ks
> ./etc/one/oneks.conf
> ./var/log/one/oneks.log
TEXT
    grep -v -e '/deb-systemd-helper-' -e '/timers.target.wants' -e '/etc/systemd/system' "$work/left" |
        diff "$work/expected" - >&2 || die "removal leaves something else behind (first the expected)"
    "${dpkg[@]}" --purge oneks
    stop_opennebula
    left "$work/before" >"$work/left"
    [ ! -s "$work/left" ] || { cat "$work/left" >&2; die "the purged package leaves something behind"; }
    rm -rf "$root"
}

try_rpm() { # package
    root=$work/root-rpm
    say "trying $(basename "$1")"
    front_end
    # These belong to OpenNebula's packages, and to those of the system.
    (cd "$root/usr" && mkdir -p lib/one share/one share/licenses share/fish/vendor_completions.d share/zsh/site-functions)
    snapshot >"$work/before"
    # The root is a Debian one: rpm knows nothing of what is there.
    local rpm=(with_proc rpm --root "$root" --nodeps)
    "${rpm[@]}" --install "$1"
    check_files /usr/share/zsh/site-functions
    start_opennebula
    first_cluster rpm
    echo 'log_level: debug' >>"$root/etc/one/oneks.conf"
    "${rpm[@]}" --erase oneks
    lives_on
    "${rpm[@]}" --install "$1"
    taken_over
    "${rpm[@]}" --erase oneks
    stop_opennebula
    left "$work/before" >"$work/left"
    cat >"$work/expected" <<'TEXT'
> ./etc/one/oneks.conf.rpmsave
> ./var/log/one/oneks.log
TEXT
    diff "$work/expected" "$work/left" >&2 || die "removal leaves something else behind (first the expected)"
    rm -rf "$root"
}

# --- main -------------------------------------------------------------------------------------------------------

[ "$(id -u)" = 0 ] || die "needs root, for chroot"
tools
say "building ($profile)"
begin=$SECONDS
./install.sh --build "$built" --profile "$profile"
figure build_seconds $((SECONDS - begin))
check_programs
check_unit

rm -rf "$out"
mkdir -p "$out"
say "packing"
CARGO_TARGET_DIR=$collected cargo deb --quiet --no-build --profile "$profile" --output "$out/"
cargo generate-rpm --target-dir "$collected" --profile "$profile" --output "$out/"
debian=$(echo "$out"/*.deb) redhat=$(echo "$out"/*.rpm)
figure deb_bytes "$(stat -c %s "$debian")"
figure rpm_bytes "$(stat -c %s "$redhat")"
say "lintian"
lintian --allow-root --fail-on error,warning "$debian"
check_rpm "$redhat"

base
try_deb "$debian"
try_rpm "$redhat"
say "done"
(IFS=,; printf '{%s}\n' "${figures[*]}")
