#!/usr/bin/env bash
# The virtual camera's disks: Debian with its own systemd, the package of this tree, modules for both machines; QEMU's kernel and its
# initramfs. About three minutes cold, one and a half when only the agent changed. Run as root.
#
#   OUT=.cache/vm     results (root.ext4, data.ext4, vmlinuz, initrd.gz) and caches ($OUT/cache; delete to make them anew)
#   SUITE=bookworm    userland and QEMU's kernel
#   SIZE_MB=2600      size of the root disk
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
OUT=${OUT:-$here/../../.cache/vm} SUITE=${SUITE:-bookworm} SIZE_MB=${SIZE_MB:-2600} source_package=linux-source-6.1
mkdir -p "$OUT"
OUT=$(cd "$OUT" && pwd)
cache=$OUT/cache/$SUITE
mkdir -p "$cache"
[ "$SUITE" = bookworm ] || { echo "image: error: SUITE=$SUITE: only bookworm's kernel is known here" >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "image: error: needs root: chroot and owners of files" >&2; exit 2; }
SECONDS=0
say() { echo "image: [$SECONDS s] $*"; }

# The archive this machine itself uses, as apt knows it.
mirror=$(apt-get indextargets --format '$(REPO_URI)' | grep -v security | sort -u | head -1)
mirror=${mirror%/}
"$here/host-packages.sh" qemu-system-x86 qemu-utils mmdebstrap busybox-static cpio kmod gcc make xz-utils e2fsprogs nbdkit libnbd-bin bc iproute2

# ---- Debian's userland, as a tar in the cache ----

packages=systemd,systemd-sysv,dbus,udev,kmod,python3,alsa-utils,v4l-utils,gpiod,iproute2,procps,e2fsprogs,dmsetup,usbutils,psmisc
# What the agent's package depends on: it is installed without a network.
packages+=,$("$here/../../.venv/bin/python" "$here/../../tools/deb" --suite "$SUITE" --depends | paste -sd,)
userland=$cache/root-$(echo "$SUITE $packages" | sha256sum | cut -c1-12).tar
making=''
if [ ! -s "$userland" ]; then
    mmdebstrap --quiet --variant=minbase --aptopt='Acquire::Languages "none"' --dpkgopt=force-unsafe-io \
        --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --include="$packages" "$SUITE" "$userland.part.tar" "deb $mirror $SUITE main" "deb $mirror-security $SUITE-security main" \
        >"$cache/mmdebstrap.log" 2>&1 &
    making=$!
fi

# ---- QEMU's kernel: Debian's own, and gpio-sim, which no kernel of Debian's has ----

make_kernel() {
    local private=$cache/apt keyring='[arch=amd64 signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]'
    # A private root of apt: this machine's own lists stay as they are.
    mkdir -p "$private"/{state/lists/partial,cache/archives/partial,etc/apt.conf.d,etc/preferences.d,etc/trusted.gpg.d,etc/sources.list.d}
    : >"$private/status"
    printf 'deb %s %s %s main\ndeb %s %s-security %s-security main\n' "$keyring" "$mirror" "$SUITE" "$keyring" "$mirror" "$SUITE" >"$private/sources.list"
    cat >"$private/apt.conf" <<END
Dir::State "$private/state"; Dir::State::status "$private/status"; Dir::Cache "$private/cache"; Dir::Etc "$private/etc";
Dir::Etc::sourcelist "$private/sources.list"; APT::Architecture "amd64"; APT::Sandbox::User "root"; Acquire::Languages "none";
END
    export APT_CONFIG=$private/apt.conf
    apt-get update -qq
    local image version headers kbuild
    image=$(apt-cache show linux-image-amd64 | sed -n 's/^Depends: \(linux-image-[^ ]*\) .*/\1/p' | head -1)
    version=${image#linux-image-}
    headers="linux-headers-$version linux-headers-${version%-amd64}-common"
    kbuild=$(apt-cache show "linux-headers-$version" | sed -n 's/^Depends: .*\(linux-kbuild-[^ ,]*\).*/\1/p' | head -1)
    rm -rf "$cache"/{dl,k,h}
    mkdir -p "$cache"/{dl,k,h}
    cd "$cache/dl"
    # shellcheck disable=SC2086  # two names
    apt-get download -qq "$image" $headers "$kbuild" "$source_package" 2>/dev/null
    unset APT_CONFIG
    dpkg -x "$image"_*.deb "$cache/k"
    local package
    for package in linux-headers-* linux-kbuild-*; do dpkg -x "$package" "$cache/h"; done
    depmod -b "$cache/k" "$version"
    build_gpio_sim "$version"
    cd /
    rm -rf "$cache"/{dl,h}
    echo "$version" >"$cache/kernel.ok"
    say "kernel $version and gpio-sim.ko ready"
}

build_gpio_sim() { # out of tree, from Debian's linux-source; with irq_sim.c linked in, which is off in Debian's kernel as well
    local version=$1 module=$cache/gpiomod unpacked=$cache/h
    dpkg-deb --fsys-tarfile "$source_package"_*.deb | tar -xO "./usr/src/$source_package.tar.xz" | xz -dc |
        tar -x -C "$unpacked" --occurrence=1 "$source_package"/drivers/gpio/{gpio-sim.c,gpiolib.h} "$source_package/kernel/irq/irq_sim.c" 2>/dev/null || true
    rm -rf "$module"
    mkdir "$module"
    cp "$unpacked/$source_package/drivers/gpio/gpio-sim.c" "$module/gpio-sim-main.c"
    cp "$unpacked/$source_package/drivers/gpio/gpiolib.h" "$unpacked/$source_package/kernel/irq/irq_sim.c" "$module/"
    # irq_to_desc is not exported to modules.
    sed -i 's/handle_simple_irq(irq_to_desc(irqnum))/generic_handle_irq(irqnum)/' "$module/irq_sim.c"
    printf 'obj-m := gpio-sim.o\ngpio-sim-y := gpio-sim-main.o irq_sim.o\n' >"$module/Makefile"
    # The headers are used where they were unpacked.
    local own=$unpacked/usr/src/linux-headers-$version common=$unpacked/usr/src/linux-headers-${version%-amd64}-common kbuild link
    sed -i "s#/usr/src/#$unpacked/usr/src/#g; s#/usr/lib/#$unpacked/usr/lib/#g" "$own/Makefile" "$common/Makefile" 2>/dev/null || true
    kbuild=$(ls -d "$unpacked"/usr/lib/linux-kbuild-*)
    for link in scripts tools; do
        [ ! -L "$own/$link" ] || ln -sfn "$kbuild/$link" "$own/$link"
        [ ! -L "$common/$link" ] || ln -sfn "$kbuild/$link" "$common/$link"
    done
    make -s -C "$own" M="$module" modules >"$module/log" 2>&1 || { cat "$module/log" >&2; exit 1; }
    strip -g "$module/gpio-sim.ko"
}

[ -s "$cache/kernel.ok" ] || make_kernel
version=$(cat "$cache/kernel.ok")
if [ -n "$making" ]; then
    wait "$making" || { tail "$cache/mmdebstrap.log" >&2; exit 1; }
    mv "$userland.part.tar" "$userland"
    say "userland ready"
fi

# ---- the root file system ----

root=$OUT/rootfs
rm -rf "$root"
mkdir -p "$root"
tar -xf "$userland" -C "$root" --numeric-owner

module_files() { # NAME...: those modules of QEMU's kernel and what they need, in the order of loading
    local name
    for name in "$@"; do modprobe -d "$cache/k" -S "$version" --show-depends "$name" 2>/dev/null || true; done |
        awk '$1 == "insmod" && !seen[$2]++ { print $2 }'
}
modules=$root/lib/modules/$version
mkdir -p "$modules/extra"
module_files virtio_pci virtio_blk virtio_net virtio_rng virtio_console ext4 overlay loop configfs af_packet vivid snd-aloop softdog i6300esb \
    dm-flakey dm-delay dm-log-writes scsi_debug sd_mod xhci-pci crc32c_generic crc32_generic |
    while read -r file; do
        inside=${file#*/lib/modules/$version/}
        mkdir -p "$modules/${inside%/*}"
        cp "$file" "$modules/$inside"
    done
cp "$cache/gpiomod/gpio-sim.ko" "$modules/extra/"
cp "$cache/k/lib/modules/$version"/modules.{builtin,builtin.modinfo,order} "$modules/"
depmod -b "$root" "$version"
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
"$here/install-agent.sh" "$root" "$OUT" "$SUITE"

# ---- QEMU's initramfs: busybox, and the modules that lead to the root disk ----

early=$OUT/early
rm -rf "$early"
mkdir -p "$early"/{bin,proc,sys,dev,sysroot,m}
cp "$(command -v busybox)" "$early/bin/busybox"
ln -s busybox "$early/bin/sh"
module_files virtio_pci virtio_blk virtio_console ext4 crc32c_generic | while read -r file; do
    cp "$file" "$early/m/"
    basename "$file" >>"$early/m/order"
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
(cd "$early" && find . | cpio -o -H newc --quiet | gzip -1) >"$OUT/initrd.gz"
rm -rf "$early"
cp "$cache/k/boot/vmlinuz-$version" "$OUT/vmlinuz"

# ---- disks ----

rm -f "$OUT"/{root,data}.ext4
truncate -s "${SIZE_MB}M" "$OUT/root.ext4"
mkfs.ext4 -q -F -L root -d "$root" "$OUT/root.ext4"
truncate -s 512M "$OUT/data.ext4"
mkfs.ext4 -q -F -L data "$OUT/data.ext4"
rm -rf "$root"
date +%s%N >"$OUT/image.id"
say "done: root disk $(du -sh "$OUT/root.ext4" | cut -f1)"
