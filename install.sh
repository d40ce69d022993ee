#!/usr/bin/env bash
# Installs, removes or shows OneKS. The letters are those of OpenNebula's own install.sh.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: install.sh [-u USER] [-g GROUP] [-k] [-d DIR] [-r] [-n] [-h] [--programs DIR]
       install.sh --build DIR [--profile NAME]
       install.sh --demo [--json] [--keep]

Builds OneKS with cargo and installs it where OpenNebula is installed.

  -u USER   user of OpenNebula (default: oneadmin, or whoever calls with -d)
  -g GROUP  its group (default: as USER)
  -k        keep all configuration files as they are
  -d DIR    self-contained installation below DIR, as OpenNebula's -d (default: $ONE_LOCATION if set)
  -r        remove; configuration that was edited stays, and so do clusters and logs
  -n        don't register the hooks at OpenNebula (oneks setup does it later)
  -h        this text

  --programs DIR  install the programs of this folder instead of building them

  --build DIR     build the programs into this folder and install nothing
  --profile NAME  cargo's profile for that (default: release)

  --demo    build, install into a temporary folder, and run the life of a cluster in the sandbox
  --json    with --demo: print one line of JSON at the end, nothing else on standard output
  --keep    with --demo: leave the temporary folder for a look

DESTDIR is put in front of every path, for packages. Nothing is registered or started then.
TEXT
}

here=$(cd "$(dirname "$0")" && pwd)
table=$here/share/files.table

user='' group='' root=${ONE_LOCATION:-} programs='' build='' profile=release keep=no remove=no hooks=yes demo=no json=no keep_demo=no
while [ $# -gt 0 ]; do
    case $1 in
        -u) user=${2:?-u needs a user}; shift ;;
        -g) group=${2:?-g needs a group}; shift ;;
        -d) root=${2:?-d needs a folder}; shift ;;
        --programs) programs=${2:?--programs needs a folder}; shift ;;
        --build) build=${2:?--build needs a folder}; shift ;;
        --profile) profile=${2:?--profile needs a name}; shift ;;
        -k) keep=yes ;;
        -r) remove=yes ;;
        -n) hooks=no ;;
        -h | --help) usage; exit 0 ;;
        --demo) demo=yes ;;
        --json) json=yes ;;
        --keep) keep_demo=yes ;;
        *) printf 'install.sh: %s is not an option\n\n' "$1" >&2; usage >&2; exit 64 ;;
    esac
    shift
done
destdir=${DESTDIR:-}

say() { printf '%s\n' "$*" >&2; }
die() { say "install.sh: $*"; exit 1; }

# --- where things go --------------------------------------------------------------------------------------------

declare -A at # what the table's targets begin with

places() {
    if [ -n "$root" ]; then
        case $root in /*) ;; *) die "-d needs an absolute path, not $root" ;; esac
        at=([BIN]=$root/bin [LIB]=$root/lib/oneks [ETC]=$root/etc [SHARE]=$root/share/oneks [VAR]=$root/var/oneks
            [LOCK]=$root/var/oneks/locks [LOG]=$root/var/oneks.log [MAN]=$root/share/man/man1
            [DOC]=$root/share/doc/oneks)
        : "${user:=$(id -un)}"
    else
        at=([BIN]=/usr/bin [LIB]=/usr/lib/one/oneks [ETC]=/etc/one [SHARE]=/usr/share/one/oneks
            [VAR]=/var/lib/one/oneks [LOCK]=/var/lock/one/oneks [LOG]=/var/log/one/oneks.log
            [UNITS]=/usr/lib/systemd/system [LOGROTATE]=/etc/logrotate.d
            [MAN]=/usr/share/man/man1 [DOC]=/usr/share/doc/oneks [BASH]=/usr/share/bash-completion/completions
            [ZSH]=/usr/share/zsh/vendor-completions [FISH]=/usr/share/fish/vendor_completions.d)
        : "${user:=oneadmin}"
    fi
    : "${group:=$(id -gn "$user" 2>/dev/null || printf '%s' "$user")}"
    record=$destdir${at[LIB]}/installed
}

target() { # place in the table -> path, or nothing if there is no such place here
    local place=${1%%/*} rest=''
    case $1 in */*) rest=/${1#*/} ;; esac
    local base=${at[$place]:-}
    [ -n "$base" ] && printf '%s%s%s' "$destdir" "$base" "$rest"
}

rows() { # kind mode owner from path, one row a line; folders of files are spread out
    local kind mode owner from to path file
    while read -r kind mode owner from to; do
        path=$(target "$to") || continue
        if [ "$kind" != files ]; then
            printf '%s %s %s %s %s\n' "$kind" "$mode" "$owner" "$from" "$path"
            continue
        fi
        (cd "$here/$from" && find . -type f | sort) | while read -r file; do
            printf 'file %s %s %s %s\n' "$mode" "$owner" "$from/${file#./}" "$path/${file#./}"
        done
    done < <(grep -v -e '^#' -e '^[[:space:]]*$' "$table")
}

# What was installed last time, with check sums: tells an edited file from an old one, and what is not ours any more.
declare -A was

remember() {
    [ -f "$record" ] || return 0
    local sum path
    while read -r sum path; do was[$path]=$sum; done <"$record"
}

sum() { sha256sum <"$1" | cut -d ' ' -f 1; }

edited() { # path source: is it neither what was installed last time nor what would be installed now?
    cmp -s "$1" "$2" && return 1
    [ "$(sum "$1")" != "${was[$1]:-}" ]
}

# --- install ----------------------------------------------------------------------------------------------------

own() { # owner of the table, path
    # Only root can give files away; somebody else installs for himself.
    [ "$(id -u)" = 0 ] && [ "$known" = yes ] || return 0
    local owner=${1//:ONE/:$group}
    owner=${owner/#ONE/$user}
    [ -z "$root" ] || owner=$user:$group
    chown "$owner" "$2"
}

put() { # mode owner from to
    if [ -f "$4" ] && cmp -s "$3" "$4"; then
        chmod "$1" "$4"
    else
        # Aside and then renamed: a program that runs, or is started now, is whole.
        install -D -m "$1" "$3" "$4.oneks-new"
        mv -f "$4.oneks-new" "$4"
        say "installed $4"
    fi
    own "$2" "$4"
}

put_config() { # mode owner from to: what was edited is kept, the new one lies beside it
    if [ -f "$4" ] && [ "$keep" = yes ]; then
        cmp -s "$3" "$4" || say "kept      $4"
    elif [ -f "$4" ] && edited "$4" "$3"; then
        install -m "$1" "$3" "$4.new"
        own "$2" "$4.new"
        say "kept      $4 (edited; the new one is $4.new)"
    else
        put "$@"
        rm -f "$4.new"
    fi
}

do_install() { # folder of the built programs
    local kind mode owner from path
    local -A now=()
    known=yes
    if [ "$(id -u)" = 0 ] && ! id "$user" >/dev/null 2>&1; then
        known=no
        say "there is no user $user here; everything belongs to root"
    fi
    remember
    while read -r kind mode owner from path; do
        case $kind in
            program) from=$1/$from ;;
            *) from=$here/$from ;;
        esac
        case $kind in
            program | file) put "$mode" "$owner" "$from" "$path" ;;
            config) put_config "$mode" "$owner" "$from" "$path" ;;
            dir)
                [ -d "$path" ] || { install -d -m "$mode" "$path"; say "installed $path/"; }
                own "$owner" "$path"
                ;;
            state | log) ;;
            *) die "$table: unknown kind $kind" ;;
        esac
        case $kind in program | file | config) now[$path]=$from ;; esac
    done < <(rows)
    # In an installation of its own, locks and marks are made below this.
    [ -z "$root" ] || own "$user:$group" "$(target VAR)"
    [ -z "$destdir" ] || return 0
    for path in "${!was[@]}"; do
        [ -n "${now[$path]:-}" ] || drop_unless_edited "$path" /dev/null
    done
    local paths=("${!now[@]}")
    paste -d ' ' <(sha256sum "${now[@]}" | cut -d ' ' -f 1) <(printf '%s\n' "${paths[@]}") | sort -k 2 >"$record"
}

# --- remove -----------------------------------------------------------------------------------------------------

drop() { # path
    [ -e "$1" ] || return 0
    rm -f "$1"
    say "removed   $1"
}

drop_unless_edited() { # path source
    rm -f "$1.new"
    if [ -f "$1" ] && edited "$1" "$2"; then
        say "kept      $1 (edited)"
    else
        drop "$1"
    fi
}

do_remove() {
    local kind from path place
    remember
    while read -r kind _ _ from path; do
        case $kind in
            program | file) drop "$path" ;;
            config) drop_unless_edited "$path" "$here/$from" ;;
            dir) [ ! -d "$path" ] || rmdir "$path" 2>/dev/null || say "kept      $path/ (not empty)" ;;
            state) rm -rf "$path" ;;
            log) [ ! -e "$path" ] || say "kept      $path" ;;
        esac
        unset "was[$path]"
    done < <(rows)
    for path in "${!was[@]}"; do drop_unless_edited "$path" /dev/null; done
    rm -f "$record"
    # The hook manager's folder of additions may have others of its administrator.
    if path=$(target UNITS/opennebula-hem.service.d) && [ -d "$path" ]; then
        rmdir "$path" 2>/dev/null || true
    fi
    # Folders that were made for these files only, and are empty now.
    for place in LIB SHARE VAR DOC; do
        path=$(target "$place")
        [ ! -d "$path" ] || find "$path" -depth -type d -empty -delete
    done
}

# --- what runs --------------------------------------------------------------------------------------------------

# What starts the programs, and what may be running of them.
starters='opennebula-ks-sweep.timer opennebula-ks-gateway.socket'
running=opennebula-ks-gateway.service

has_systemd() { [ -z "$destdir" ] && [ -n "${at[UNITS]:-}" ] && [ "$(id -u)" = 0 ] && [ -d /run/systemd/system ]; }

start_units() {
    local unit
    if has_systemd; then
        systemctl daemon-reload
        # The next request starts the new one.
        systemctl stop "$running" 2>/dev/null || true
        for unit in $starters; do
            systemctl enable --now "$unit" || die "$unit could not be started; is something else listening on its port?"
            say "started   $unit"
        done
    elif [ -z "$destdir" ]; then
        say "start the sweep once a minute, as $user:${root:+ ONE_LOCATION=$root} ${at[LIB]}/hooks/sweep"
    fi
}

stop_units() {
    has_systemd || return 0
    # shellcheck disable=SC2086 # several words
    systemctl disable --now $starters 2>/dev/null || true
    systemctl stop "$running" 2>/dev/null || true
}

oneks() { # the installed command, for this installation
    ONE_LOCATION=$root "${at[BIN]}/oneks" "$@"
}

# --- build ------------------------------------------------------------------------------------------------------

target_folder() { # cargo's, for all that it builds
    (cd "$here" && cargo metadata --format-version 1 --no-deps --locked) |
        sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p'
}

build() { # profile -> prints the folder of the programs
    local profile=$1
    command -v cargo >/dev/null 2>&1 || die "cargo is not installed; a Rust toolchain of 1.89 or later is needed"
    say "building ($profile) ..."
    (cd "$here" && cargo build --quiet --locked --profile "$profile" --bins >&2)
    [ "$profile" != dev ] || profile=debug # cargo's own name for the folder
    printf '%s/%s' "$(target_folder)" "$profile"
}

# The target whose programs bring their own C library, if the toolchain has it: they take little more than half
# the time, for there is nothing to load and link.
static_target() {
    local host
    host=$(cd "$here" && rustc -vV | sed -n 's/^host: //p')
    case $host in *-linux-gnu) ;; *) return 0 ;; esac
    host=${host%gnu}musl
    if [ -d "$(cd "$here" && rustc --print target-libdir --target "$host" 2>/dev/null)" ]; then
        printf '%s' "$host"
    else
        say "without $host, hooks take nearly twice as long; 'rustup target add $host' gets it"
    fi
}

collect() { # profile folder: all programs, built as they are installed
    local built static program to from
    built=$(build "$1")
    static=$(static_target)
    if [ -n "$static" ]; then
        say "building what OpenNebula starts ($static) ..."
        (cd "$here" && cargo build --quiet --locked --profile "$1" --no-default-features --target "$static" --bins >&2)
    fi
    install -d "$2"
    while read -r program to; do
        from=$built/$program
        case $static,$to in
            # Once a minute it may read a large cloud, for which the shared C library is twice as fast.
            *,LIB/hooks/sweep) ;;
            ?*,LIB/*) from=${built%/*}/$static/${built##*/}/$program ;;
        esac
        install -m 755 "$from" "$2/$program"
    done < <(sed -n 's/^program \+[^ ]\+ \+[^ ]\+ \+\([^ ]\+\) \+/\1 /p' "$table")
}

# --- demo -------------------------------------------------------------------------------------------------------

run_demo() {
    local built temporary status=0
    # As the tests build it: what matters here is how soon it starts, not how fast it runs.
    built=$(build dev)
    temporary=$(mktemp -d "${TMPDIR:-/tmp}/oneks-demo.XXXXXX")
    root=$temporary/one destdir='' user=$(id -un) group=$(id -gn)
    places
    do_install "$built" 2>"$temporary/install.log" || { cat "$temporary/install.log" >&2; die "the installation failed"; }
    say "installed into $root"
    set --
    [ "$json" = no ] || set -- --json
    "$built/oneks-sandbox" demo --prefix "$root" "$@" || status=$?
    if [ "$keep_demo" = yes ]; then
        say "left for a look: $temporary"
    else
        rm -rf "$temporary"
    fi
    return "$status"
}

# --- main -------------------------------------------------------------------------------------------------------

if [ "$demo" = yes ]; then
    run_demo
    exit
fi

if [ -n "$build" ]; then
    collect "$profile" "$build"
    exit
fi

places
if [ "$remove" = yes ]; then
    stop_units
    if [ "$hooks" = yes ] && [ -z "$destdir" ] && [ -x "${at[BIN]}/oneks" ]; then
        oneks setup --remove || say "the hooks could not be removed; 'onehook list' shows them"
    fi
    do_remove
    ! has_systemd || systemctl daemon-reload
    exit
fi

if [ -z "$programs" ]; then
    programs=$(target_folder)/programs
    collect release "$programs"
fi
do_install "$programs"
start_units
if [ "$hooks" = yes ] && [ -z "$destdir" ]; then
    say "registering the hooks ..."
    oneks setup || die "the hooks could not be registered; run 'oneks setup' as oneadmin when OpenNebula runs"
fi
say "done"
