# Sourced by those who build Debian roots: what a root is lent of this machine's own settings. Nothing runs by itself.

mirror() { # this machine's Debian mirror, which may not be the public one
    local found
    found=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/*.sources 2>/dev/null | head -n 1)
    [ -n "$found" ] || found=$(sed -n 's/^deb \(\[[^]]*\] \)\?\([^ ]*\) .*/\2/p' /etc/apt/sources.list 2>/dev/null | head -n 1)
    [ -n "$found" ] || { echo "${0##*/}: /etc/apt names no Debian mirror" >&2; exit 1; }
    echo "$found"
}

lend_configuration() { # SUITE ROOT HOME   apt, pip, npm, certificates and names, as this machine has them
    local suite=$1 root=$2 home=$3 file codename
    codename=$(. /etc/os-release && echo "$VERSION_CODENAME")
    cp /etc/resolv.conf /etc/hosts "$root/etc/"
    for file in /etc/apt/sources.list /etc/apt/sources.list.d/debian.sources; do
        [ ! -f "$file" ] || sed "s/\b$codename\b/$suite/g" "$file" >"$root$file"
    done
    [ ! -f "$root/etc/apt/sources.list.d/debian.sources" ] || rm -f "$root/etc/apt/sources.list"
    for file in /etc/apt/auth.conf.d /etc/apt/apt.conf.d /etc/pip.conf /etc/xdg/pip /usr/local/share/ca-certificates; do
        [ ! -e "$file" ] || { mkdir -p "$root$(dirname "$file")" && cp -rT "$file" "$root$file"; }
    done
    rm -f "$root"/etc/apt/apt.conf.d/docker-*
    [ ! -d "$HOME/.config/pip" ] || { mkdir -p "$root$home/.config" && cp -rT "$HOME/.config/pip" "$root$home/.config/pip"; }
    [ ! -f "$HOME/.npmrc" ] || cp "$HOME/.npmrc" "$root$home/.npmrc"
    chroot "$root" update-ca-certificates >/dev/null 2>&1
}

lent_environment() { # NAME=VALUE lines
    env | grep -E '^(PIP_|(NPM_CONFIG|npm_config)_|NODE_EXTRA_CA_CERTS=|SSL_CERT_|REQUESTS_CA_BUNDLE=|(http|https|no|HTTP|HTTPS|NO)_(proxy|PROXY)=)' || true
}
