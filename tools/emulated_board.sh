#!/bin/sh
# Makes a system for an emulated 64-bit Arm board: tools/emulated_board.sh DIR [python]
#
# DIR gets vmlinuz and initrd: Debian 12's kernel, busybox and dropbear (an ssh server), which is all that a board needs
# to be measured; with "python" also Python 3.11, venv and what OpenCV's wheel needs of the system. Packages are
# downloaded and unpacked; nothing of them is run or installed here. It boots with
#   qemu-system-aarch64 -M virt -cpu cortex-a53 -m 512 -kernel vmlinuz -initrd initrd -append "quiet" …
# Whose key may log in says a second archive, appended to initrd, with root/.ssh/authorized_keys.
set -eu

out=$1
suite=bookworm packages="dropbear-bin busybox-static linux-image-arm64" kind=${2:-}
case $kind in
    "") ;;
    python) packages="$packages python3 python3-venv libgl1 libglib2.0-0 libgomp1 libstdc++6 ca-certificates" ;;
    *) echo "Error: $0: unknown kind '$kind'; expected python or nothing" >&2; exit 2 ;;
esac
if [ -f "$out/initrd" ] && [ "$(cat "$out/ready" 2>/dev/null)" = "$suite $packages" ]; then exit 0; fi
for tool in mmdebstrap qemu-system-aarch64 cpio; do
    if ! command -v $tool >/dev/null 2>&1; then
        echo "Error: no $tool here: apt install mmdebstrap qemu-system-arm cpio" >&2
        exit 1
    fi
done

echo "Making an emulated board in $out (two minutes, 100 MB to download)" >&2
mkdir -p "$out"
work=$(mktemp -d "$out/work-XXXXXX")
trap 'rm -rf "$work"' EXIT
mmdebstrap --quiet --variant=extract --arch=arm64 --include="$(echo $packages | tr ' ' ,)" $suite "$work/root"

board=$work/board
mkdir -p "$board/bin" "$board/etc" "$board/root/.ssh" "$board/proc" "$board/sys" "$board/dev" "$board/tmp" \
    "$board/small" "$board/modules" "$board/usr/lib"
if [ "$kind" = python ]; then
    # The whole system but the kernel's modules, documentation, and the graphics drivers, which nothing here loads.
    rm -rf "$board/bin"
    (cd "$work/root" && tar -c --exclude=./boot --exclude=./dev --exclude='./lib/modules' --exclude='./usr/lib/modules' \
        --exclude=./usr/share/doc --exclude=./usr/share/man --exclude=./usr/share/locale --exclude='*/libLLVM*' \
        --exclude='*/dri' .) | tar -x -C "$board"
    mkdir -p "$board/bin"
    ln -sf busybox "$board/bin/sh"
fi
cp "$work/root/bin/busybox" "$board/bin/busybox"
cp "$work/root/usr/sbin/dropbear" "$board/bin/dropbear"
# The libraries that dropbear is linked with, under the names that its loader looks for.
for folder in lib usr/lib; do
    if [ -d "$work/root/$folder/aarch64-linux-gnu" ]; then
        mkdir -p "$board/$folder/aarch64-linux-gnu"
        cp -P "$work/root/$folder/aarch64-linux-gnu"/lib*.so* "$board/$folder/aarch64-linux-gnu/"
    fi
done
cp -L "$work/root/lib/ld-linux-aarch64.so.1" "$board/lib/"
modules="virtio/virtio_pci_modern_dev virtio/virtio_pci_legacy_dev virtio/virtio_pci virtio/virtio_mmio"
for module in $modules net/core/failover net/net_failover net/virtio_net; do
    find "$work/root/lib/modules" -path "*/$module.ko" -exec cp {} "$board/modules/" \;
done
echo "root:x:0:0:root:/root:/bin/sh" >"$board/etc/passwd"
echo "root:x:0:" >"$board/etc/group"
echo /bin/sh >"$board/etc/shells"
cat >"$board/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin 2>/dev/null
export PATH=/usr/bin:/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts && mount -t devpts pts /dev/pts
mount -t tmpfs -o size=1m small /small
for module in virtio_pci_modern_dev virtio_pci_legacy_dev virtio_pci virtio_mmio failover net_failover virtio_net; do
    insmod "/modules/$module.ko"
done 2>/dev/null
ifconfig lo 127.0.0.1
ifconfig eth0 10.0.2.15
chmod 700 /root /root/.ssh
chmod 600 /root/.ssh/authorized_keys
echo "edge-seg board: ready" >/dev/console
while :; do dropbear -F -E -R -s -p 22; sleep 1; done
INIT
chmod 755 "$board/init"
mkdir -p "$board/etc/dropbear"
(cd "$board" && find . | cpio --quiet -o -H newc -R 0:0 | gzip -1) >"$work/initrd"
cp "$work"/root/boot/vmlinuz-* "$work/vmlinuz"
mv "$work/vmlinuz" "$out/vmlinuz"
mv "$work/initrd" "$out/initrd"
echo "$suite $packages" >"$out/ready"
