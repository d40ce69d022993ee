#!/usr/bin/env bash
# Installs, removes or shows OneKS. The letters are those of OpenNebula's own install.sh.
set -euo pipefail

usage() {
    cat <<'TEXT'
Usage: install.sh [-u USER] [-g GROUP] [-k] [-d DIR] [-r] [-n] [-h]
       install.sh --demo [--json] [--keep]

Builds OneKS with cargo and installs it where OpenNebula is installed.

  -u USER   owner of what is written at run time (default: oneadmin, or whoever calls with -d)
  -g GROUP  its group (default: as USER)
  -k        keep all configuration files as they are
  -d DIR    self-contained installation below DIR, as OpenNebula's -d (default: $ONE_LOCATION if set)
  -r        remove; configuration that was edited stays
  -n        don't register the hooks at OpenNebula (oneks setup does it later)
  -h        this text

  --demo    build, install into a temporary folder, and run the life of a cluster in the sandbox
  --json    with --demo: print one line of JSON at the end, nothing else on standard output
  --keep    with --demo: leave the temporary folder for a look

DESTDIR is put in front of every path, for packages. Nothing is registered then.
TEXT
}

here=$(cd "$(dirname "$0")" && pwd)
table=$here/share/files.table

user='' group='' root=${ONE_LOCATION:-} keep=no remove=no hooks=yes demo=no json=no keep_demo=no
while [ $# -gt 0 ]; do
    case $1 in
        -u) user=${2:?-u needs a user}; shift ;;
        -g) group=${2:?-g needs a group}; shift ;;
        -d) root=${2:?-d needs a folder}; shift ;;
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
        at=([BIN]=$root/bin [LIB]=$root/lib/oneks [ETC]=$root/etc [VAR]=$root/var/oneks [LOCK]=$root/var/oneks/locks
            [MAN]=$root/share/man/man1)
        : "${user:=$(id -un)}"
    else
        at=([BIN]=/usr/bin [LIB]=/usr/lib/one/oneks [ETC]=/etc/one [VAR]=/var/lib/one/oneks [LOCK]=/var/lock/one/oneks
            [UNITS]=/lib/systemd/system [LOGROTATE]=/etc/logrotate.d
            [MAN]=/usr/share/man/man1 [BASH]=/usr/share/bash-completion/completions
            [ZSH]=/usr/share/zsh/vendor-completions [FISH]=/usr/share/fish/vendor_completions.d)
        : "${user:=oneadmin}"
    fi
    : "${group:=$(id -gn "$user" 2>/dev/null || printf '%s' "$user")}"
}

target() { # place in the table -> path, or nothing if there is no such place here
    local place=${1%%/*} rest=''
    case $1 in */*) rest=/${1#*/} ;; esac
    local base=${at[$place]:-}
    [ -n "$base" ] && printf '%s%s%s' "$destdir" "$base" "$rest"
}

rows() { # kind mode from to, one row a line
    grep -v -e '^#' -e '^[[:space:]]*$' "$table"
}

# --- install ----------------------------------------------------------------------------------------------------

put() { # mode from to
    if [ -f "$3" ] && cmp -s "$2" "$3"; then
        chmod "$1" "$3"
        return
    fi
    install -D -m "$1" "$2" "$3"
    say "installed $3"
}

put_config() { # mode from to: what was edited is kept, the new one lies beside it
    if [ -f "$3" ] && ! cmp -s "$2" "$3"; then
        if [ "$keep" = yes ]; then
            say "kept      $3"
        else
            install -m "$1" "$2" "$3.new"
            say "kept      $3 (edited; the new one is $3.new)"
        fi
        return
    fi
    put "$@"
}

do_install() { # folder of the built programs
    local kind mode from to path file
    while read -r kind mode from to; do
        path=$(target "$to") || continue
        case $kind in
            program) put "$mode" "$1/$from" "$path" ;;
            config) put_config "$mode" "$here/$from" "$path" ;;
            file | system) put "$mode" "$here/$from" "$path" ;;
            tree)
                (cd "$here/$from" && find . -type f | sort) | while read -r file; do
                    put_config "$mode" "$here/$from/${file#./}" "$path/${file#./}"
                done
                ;;
            files)
                (cd "$here/$from" && find . -type f | sort) | while read -r file; do
                    put "$mode" "$here/$from/${file#./}" "$path/${file#./}"
                done
                ;;
            dir) [ -d "$path" ] || { install -d -m "$mode" "$path"; say "installed $path/"; } ;;
            *) die "$table: unknown kind $kind" ;;
        esac
    done < <(rows)
    owners
}

owners() {
    # Only root can give files away; somebody else installs for himself.
    [ "$(id -u)" = 0 ] || return 0
    if ! id "$user" >/dev/null 2>&1; then
        say "there is no user $user here; owners are left to the package"
        return 0
    fi
    local lock etc
    lock=$(target LOCK) && chown -R "$user:$group" "$lock"
    etc=$(target ETC/oneks.conf) && [ -f "$etc" ] && chown "root:$group" "$etc"
    return 0
}

# --- remove -----------------------------------------------------------------------------------------------------

drop() { # path
    [ -e "$1" ] || return 0
    rm -f "$1"
    say "removed   $1"
}

drop_config() { # from to
    if [ -f "$2" ] && ! cmp -s "$1" "$2"; then
        say "kept      $2 (edited)"
        return
    fi
    drop "$2"
    rm -f "$2.new"
}

do_remove() {
    local kind mode from to path file
    while read -r kind mode from to; do
        path=$(target "$to") || continue
        case $kind in
            program | file | system) drop "$path" ;;
            config) drop_config "$here/$from" "$path" ;;
            tree)
                (cd "$here/$from" && find . -type f) | while read -r file; do
                    drop_config "$here/$from/${file#./}" "$path/${file#./}"
                done
                ;;
            files)
                (cd "$here/$from" && find . -type f) | while read -r file; do
                    drop "$path/${file#./}"
                done
                ;;
            dir) [ ! -d "$path" ] || rm -rf "$path" ;;
        esac
    done < <(rows)
    # Folders that were made for these files only, and are empty now.
    for path in "$(target LIB || true)" "$(target VAR || true)"; do
        [ -z "$path" ] || [ ! -d "$path" ] || find "$path" -depth -type d -empty -delete
    done
}

# --- build ------------------------------------------------------------------------------------------------------

build() { # profile -> prints the folder of the programs
    command -v cargo >/dev/null 2>&1 || die "cargo is not installed; a Rust toolchain of 1.89 or later is needed"
    say "building ($1) ..."
    (cd "$here" && cargo build --quiet --locked --profile "$1" --bins >&2)
    local folder profile=$1
    [ "$profile" != dev ] || profile=debug # cargo's own name for the folder
    folder=$(cd "$here" && cargo metadata --format-version 1 --no-deps --locked | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
    printf '%s/%s' "$folder" "$profile"
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

places
if [ "$remove" = yes ]; then
    if [ "$hooks" = yes ] && [ -z "$destdir" ] && [ -x "${at[BIN]}/oneks" ]; then
        "${at[BIN]}/oneks" setup --remove || say "the hooks could not be removed; 'onehook list' shows them"
    fi
    do_remove
    exit
fi

do_install "$(build release)"
if [ "$hooks" = yes ] && [ -z "$destdir" ]; then
    say "registering the hooks ..."
    "${at[BIN]}/oneks" setup || die "the hooks could not be registered; run 'oneks setup' as oneadmin when OpenNebula runs"
fi
say "done"
