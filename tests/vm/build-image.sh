#!/usr/bin/env bash
# The virtual camera's disks: Debian with its own systemd, the package of this tree, modules for both machines; QEMU's kernel and its
# initramfs. About three minutes cold, one and a half when only the agent changed. Run as root.
#
#   OUT=.cache/vm     results (root.ext4, data.ext4, vmlinuz, initrd.gz) and caches ($OUT/cache; delete to make them anew)
#   SUITE=bookworm    userland and QEMU's kernel; trixie: results in $OUT/trixie
#   SIZE_MB=2600      size of the root disk
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
OUT=${OUT:-$here/../../.cache/vm} SUITE=${SUITE:-bookworm} SIZE_MB=${SIZE_MB:-2600}
case $SUITE in
bookworm) images=$OUT source_package=linux-source-6.1 lgpio='' more_packages=() ;;
trixie) images=$OUT/trixie source_package=linux-source-6.12 lgpio=yes more_packages=(swig) ;;
*) echo "image: error: SUITE=$SUITE: bookworm or trixie" >&2; exit 2 ;;
esac
[ "$(id -u)" = 0 ] || { echo "image: error: needs root: chroot and owners of files" >&2; exit 2; }
mkdir -p "$images"
OUT=$(cd "$OUT" && pwd) images=$(cd "$images" && pwd)
cache=$OUT/cache/$SUITE
mkdir -p "$cache"
SECONDS=0
say() { echo "image: [$SECONDS s] $*"; }

# The archive this machine itself uses, as apt knows it.
mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | sort -u | head -1)
mirror=${mirror%/}
"$here/host-packages.sh" qemu-system-x86 qemu-utils mmdebstrap busybox-static cpio kmod gcc make xz-utils e2fsprogs nbdkit libnbd-bin bc iproute2 "${more_packages[@]}"

# ---- Debian's userland, as a tar in the cache ----

packages=systemd,systemd-sysv,dbus,udev,kmod,python3,alsa-utils,v4l-utils,gpiod,iproute2,procps,e2fsprogs,dmsetup,usbutils,psmisc
# What the agent's package depends on, and what of the recommended a camera's log or a key in a TPM needs: it is installed without a
# network.
packages+=,auditd,tpm-udev
packages+=,$("$here/../../.venv/bin/python" "$here/../../tools/deb" --suite "$SUITE" --depends | paste -sd,)
userland=$cache/root-$(echo "$SUITE $packages" | sha256sum | cut -c1-12).tar
making=''

debian() { # PACKAGES TARGET   that release of Debian, and these
    mmdebstrap --quiet --variant=minbase --aptopt='Acquire::Languages "none"' --dpkgopt=force-unsafe-io \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --include="$1" "$SUITE" "$2" "deb $mirror $SUITE main" "deb $mirror-security $SUITE-security main"
}

if [ ! -s "$userland" ]; then
    debian "$packages" "$userland.part.tar" >"$cache/mmdebstrap.log" 2>&1 &
    making=$!
    # Whoever tries once more is not to find it still writing.
    trap 'kill "$making" 2>/dev/null; wait "$making" 2>/dev/null || true' EXIT
fi

# ---- packages that are only looked into ----

private=$cache/apt
private_apt() { # COMMAND...   apt-get with a root of its own: this machine's lists stay as they are
    [ -s "$private/apt.conf" ] || make_private_apt
    APT_CONFIG=$private/apt.conf "$@"
}

make_private_apt() {
    local keyring='[arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
    mkdir -p "$private"/{state/lists/partial,cache/archives/partial,etc/apt.conf.d,etc/preferences.d,etc/trusted.gpg.d,etc/sources.list.d}
    : >"$private/status"
    printf 'deb %s %s %s main\ndeb %s %s-security %s-security main\n' "$keyring" "$mirror" "$SUITE" "$keyring" "$mirror" "$SUITE" >"$private/sources.list"
    cat >"$private/apt.conf.part" <<END
Dir::State "$private/state"; Dir::State::status "$private/status"; Dir::Cache "$private/cache"; Dir::Etc "$private/etc";
Dir::Etc::sourcelist "$private/sources.list"; APT::Architecture "amd64"; APT::Sandbox::User "root"; Acquire::Languages "none";
END
    APT_CONFIG=$private/apt.conf.part apt-get update -qq
    mv "$private/apt.conf.part" "$private/apt.conf"
}

# ---- QEMU's kernel: Debian's own, and gpio-sim, which no kernel of Debian's has ----

make_kernel() {
    local image version
    rm -f "$private/apt.conf" # what it knows may be old
    image=$(private_apt apt-cache show linux-image-amd64 | sed -n 's/^Depends: \(linux-image-[^ ]*\) .*/\1/p' | head -1)
    version=${image#linux-image-}
    rm -rf "$cache"/{dl,k,h}
    mkdir -p "$cache"/{dl,k}
    cd "$cache/dl"
    private_apt apt-get download -qq "$image" "$source_package" 2>/dev/null
    dpkg -x "$image"_*.deb "$cache/k"
    # Since trixie its modules are packed, and lie in /usr.
    [ -d "$cache/k/lib" ] || ln -s usr/lib "$cache/k/lib"
    depmod -b "$cache/k" "$version"
    build_gpio_sim "$version"
    cd /
    rm -rf "$cache"/{dl,h}
    echo "$version" >"$cache/kernel.ok"
    say "kernel $version and gpio-sim.ko ready"
}

build_gpio_sim() { # out of tree, from Debian's linux-source; with irq_sim.c linked in, which is off in Debian's kernel as well
    local version=$1 module=$cache/gpiomod sources=$cache/dl/sources inside=$cache/h/gpiomod
    # By that release's own compiler and kbuild, which need its libraries.
    debian "linux-headers-$version,make" "$cache/h" >"$cache/kbuild.log" 2>&1 || { tail "$cache/kbuild.log" >&2; exit 1; }
    mkdir "$sources" "$inside"
    # The last one leaves as soon as it has its files, which is nothing to hear of; one that is missing stops the copying below.
    dpkg-deb --fsys-tarfile "$source_package"_*.deb 2>/dev/null | tar -xO "./usr/src/$source_package.tar.xz" 2>/dev/null | xz -dc 2>/dev/null |
        tar -x -C "$sources" --strip-components=1 --occurrence=1 "$source_package"/drivers/gpio/{gpio-sim.c,gpiolib.h} "$source_package/kernel/irq/irq_sim.c" 2>/dev/null || true
    cp "$sources/drivers/gpio/gpio-sim.c" "$inside/gpio-sim-main.c"
    cp "$sources/drivers/gpio/gpiolib.h" "$sources/kernel/irq/irq_sim.c" "$inside/"
    # irq_to_desc is not exported to modules.
    sed -i 's/handle_simple_irq(irq_to_desc(irqnum))/generic_handle_irq(irqnum)/' "$inside/irq_sim.c"
    printf 'obj-m := gpio-sim.o\ngpio-sim-y := gpio-sim-main.o irq_sim.o\n' >"$inside/Makefile"
    chroot "$cache/h" make -s -C "/usr/src/linux-headers-$version" M=/gpiomod modules >"$cache/kbuild.log" 2>&1 || { cat "$cache/kbuild.log" >&2; exit 1; }
    rm -rf "$module"
    mkdir "$module"
    strip -g -o "$module/gpio-sim.ko" "$inside/gpio-sim.ko"
}

# ---- lgpio, where Debian's package of the agent cannot bring it: what Raspberry Pi OS has as python3-lgpio ----

make_lgpio() { # for trixie's Python, from the source whose hash is in requirements/
    local python=3.13 work=$cache/lgpio
    rm -rf "$work"
    mkdir -p "$work/site"
    (cd "$work" && private_apt apt-get download -qq "libpython$python-dev" 2>/dev/null && dpkg -x libpython*.deb headers)
    awk '/^lgpio==/ { on = 1 } on { print } on && !/\\$/ { exit }' "$here/../../requirements/run.txt" >"$work/lock.txt"
    "$here/../../.venv/bin/python" -m pip --disable-pip-version-check download --quiet --no-deps --no-binary :all: --no-build-isolation \
        --require-hashes --requirement "$work/lock.txt" --dest "$work"
    tar -C "$work" -xf "$work"/lgpio-*.tar.gz
    cd "$work"/lgpio-*/
    swig -python -o lgpio_wrap.c -outdir "$work/site" lgpio.i
    gcc -O2 -shared -fPIC -pthread -w -Isrc -I"$work/headers/usr/include/python$python" -I"$work/headers/usr/include" \
        lgpio_wrap.c src/lg*.c src/rgpiod.c -ldl -o "$work/site/_lgpio.cpython-${python/./}-x86_64-linux-gnu.so"
    cd /
    touch "$cache/lgpio.ok"
    say "lgpio for Python $python ready"
}

[ -s "$cache/kernel.ok" ] || make_kernel
version=$(cat "$cache/kernel.ok")
[ -z "$lgpio" ] || [ -e "$cache/lgpio.ok" ] || make_lgpio
if [ -n "$making" ]; then
    wait "$making" || { tail "$cache/mmdebstrap.log" >&2; exit 1; }
    trap - EXIT
    mv "$userland.part.tar" "$userland"
    say "userland ready"
fi

# ---- the root file system ----

root=$images/rootfs
rm -rf "$root"
mkdir -p "$root"
tar -xf "$userland" -C "$root" --numeric-owner

module_files() { # NAME...: those modules of QEMU's kernel and what they need, in the order of loading
    local name
    for name in "$@"; do modprobe -d "$cache/k" -S "$version" --show-depends "$name" 2>/dev/null || true; done |
        awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}
unpacked() { # MODULE   busybox takes none that is packed
    case $1 in
    *.xz) xz -dc "$1" ;;
    *) cat "$1" ;;
    esac
}
qemu_modules() {
    local modules=$root/lib/modules/$version file inside
    mkdir -p "$modules/extra"
    module_files virtio_pci virtio_blk virtio_net virtio_rng virtio_console ext4 overlay loop configfs af_packet vivid snd-aloop softdog i6300esb \
        dm-flakey dm-delay dm-log-writes scsi_debug sd_mod xhci-pci crc32c_generic crc32_generic |
        while read -r file; do
            inside=${file#*/lib/modules/$version/}
            mkdir -p "$modules/${inside%/*}"
            unpacked "$file" >"$modules/${inside%.xz}"
        done
    cp "$cache/gpiomod/gpio-sim.ko" "$modules/extra/"
    cp "$cache/k/lib/modules/$version"/modules.{builtin,builtin.modinfo,order} "$modules/"
    depmod -b "$root" "$version"
}
qemu_modules
[ -z "$lgpio" ] || cp "$cache"/lgpio/site/* "$root/usr/lib/python3/dist-packages/"
mkdir -p "$root/lib/modules"
[ ! -d "$OUT/uml-modules/lib/modules" ] || cp -a "$OUT"/uml-modules/lib/modules/* "$root/lib/modules/"

cp -a "$here/guest/." "$root/"
chown -R root:root "$root/usr/local" "$root/etc/systemd/system"
chmod +x "$root"/usr/local/sbin/*
echo bodycam >"$root/etc/hostname"
: >"$root/etc/machine-id"
sed -i 's#^root:[^:]*:#root::#' "$root/etc/shadow"
mkdir -p "$root/var/lib/bodycam-agent"
cat >"$root/etc/fstab" <<'END'
LABEL=root / ext4 noatime 0 1
LABEL=data /var/lib/bodycam-agent ext4 noatime,nofail,x-systemd.device-timeout=30s 0 2
END
# What a camera has no use for, and a slow machine boots the longer with.
for unit in e2scrub_reap.service e2scrub_all.timer apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer fstrim.timer getty@tty1.service \
    systemd-binfmt.service systemd-pstore.service dev-hugepages.mount dev-mqueue.mount sys-kernel-tracing.mount sys-kernel-debug.mount \
    modprobe@drm.service modprobe@fuse.service modprobe@efi_pstore.service sys-fs-fuse-connections.mount proc-sys-fs-binfmt_misc.automount \
    systemd-update-utmp.service systemd-update-utmp-runlevel.service systemd-firstboot.service; do
    ln -sfn /dev/null "$root/etc/systemd/system/$unit"
done
mkdir -p "$root/etc/systemd/system/sysinit.target.wants"
for unit in harness.service camhw.service; do ln -sfn "/etc/systemd/system/$unit" "$root/etc/systemd/system/sysinit.target.wants/$unit"; done
mkdir -p "$root/etc/systemd/system/multi-user.target.wants"
for unit in loopback-tone.service; do ln -sfn "/etc/systemd/system/$unit" "$root/etc/systemd/system/multi-user.target.wants/$unit"; done
"$here/install-agent.sh" "$root" "$images" "$SUITE"

# ---- QEMU's initramfs: busybox, and the modules that lead to the root disk ----

make_initramfs() {
    local early=$images/early name
    rm -rf "$early"
    mkdir -p "$early"/{bin,proc,sys,dev,sysroot,m}
    cp "$(command -v busybox)" "$early/bin/busybox"
    ln -s busybox "$early/bin/sh"
    module_files virtio_pci virtio_blk virtio_console ext4 crc32c_generic | while read -r file; do
        name=$(basename "$file" .xz)
        unpacked "$file" >"$early/m/$name"
        echo "$name" >>"$early/m/order"
    done
    cat >"$early/init" <<'END'
#!/bin/sh
B=/bin/busybox
$B mount -t proc proc /proc; $B mount -t sysfs sys /sys; $B mount -t devtmpfs dev /dev
while read m; do $B insmod /m/$m; done < /m/order
i=0; while [ ! -b /dev/vda ] && [ $i -lt 50 ]; do $B sleep 0.1; i=$((i+1)); done
$B mount -t ext4 -o ro,noatime /dev/vda /sysroot || { echo "initramfs: cannot mount the root disk"; exec $B sh; }
$B mount --move /proc /sysroot/proc; $B mount --move /sys /sysroot/sys; $B mount --move /dev /sysroot/dev
exec $B switch_root /sysroot /sbin/init
END
    chmod +x "$early/init"
    (cd "$early" && find . | cpio -o -H newc --quiet | gzip -1) >"$images/initrd.gz"
    rm -rf "$early"
    cp "$cache/k/boot/vmlinuz-$version" "$images/vmlinuz"
}
make_initramfs
# Each suite's disks, and one kernel for all.
[ "$images" = "$OUT" ] || ln -sfn ../linux-uml "$images/linux-uml"

# ---- disks ----

rm -f "$images"/{root,data}.ext4
truncate -s "${SIZE_MB}M" "$images/root.ext4"
mkfs.ext4 -q -F -L root -d "$root" "$images/root.ext4"
truncate -s 512M "$images/data.ext4"
mkfs.ext4 -q -F -L data "$images/data.ext4"
rm -rf "$root"
date +%s%N >"$images/image.id"
say "done: root disk $(du -sh "$images/root.ext4" | cut -f1)"
