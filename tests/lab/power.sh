# The first process of a simulated device, in namespaces of its own. It lives as long as somebody holds its standard
# input open, or until its sshd ends; then the kernel ends every process of the device and lets its mounts go.
#
#   sh power.sh DEVICE_FOLDER        with the environment that lab/device.py gives
set -eu
cd "$1"
read -r _ # the network has been plugged in
hostname "$LAB_HOSTNAME"
root=$1/root

tmpfs() { mount -t tmpfs -o "size=${2:-4m},mode=755" lab "$1"; }

tmpfs "$root"
for folder in dev etc home proc run sys tmp var; do mkdir -p "$root/$folder"; done
if [ -n "$LAB_USERLAND" ]; then
    mount -t binfmt_misc lab /proc/sys/fs/binfmt_misc
    printf %s "$LAB_BINFMT" >/proc/sys/fs/binfmt_misc/register
    programs=$root$LAB_PREFIX # where busybox lies: / or, as on a phone, below /data
    mkdir -p "$programs" "$root/lib64"
    for folder in bin usr; do
        mkdir -p "$programs/$folder"
        mount --bind "$LAB_USERLAND/$folder" "$programs/$folder"
    done
    ln -s bin "$programs/sbin"
    [ -e "$root/lib" ] || mkdir "$root/lib"
    mount --bind "$LAB_USERLAND/lib" "$root/lib"
    # The server is this machine's own, beside the device's programs: its libraries have other names.
    mkdir -p "$root/usr/lib/x86_64-linux-gnu" "$root/usr/sbin"
    mount --bind /usr/lib/x86_64-linux-gnu "$root/usr/lib/x86_64-linux-gnu"
    [ -e "$root/usr/sbin/sshd" ] || : >"$root/usr/sbin/sshd"
    mount --bind /usr/sbin/sshd "$root/usr/sbin/sshd"
    cp -L /lib64/ld-linux-x86-64.so.2 "$root/lib64/"
    # So is a login shell that busybox has not.
    if [ -n "$LAB_SHELL" ]; then
        mkdir -p "$root/opt"
        : >"$root/opt/${LAB_SHELL##*/}"
        mount --bind "$LAB_SHELL" "$root/opt/${LAB_SHELL##*/}"
    fi
else
    mkdir -p "$root/usr"
    mount --rbind /usr "$root/usr"
    for folder in bin sbin lib lib64; do
        if [ -L "/$folder" ]; then ln -s "usr/$folder" "$root/$folder"; else mkdir "$root/$folder"; mount --rbind "/$folder" "$root/$folder"; fi
    done
    mkdir "$root/etc/alternatives"
    mount --bind /etc/alternatives "$root/etc/alternatives"
fi

# Device nodes, processes, and what the board's kernel tells about it.
for node in null zero full random urandom tty; do : >"$root/dev/$node"; mount --bind "/dev/$node" "$root/dev/$node"; done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=0666,mode=620 lab "$root/dev/pts"
ln -s pts/ptmx "$root/dev/ptmx"
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o size=64m,mode=1777 lab "$root/dev/shm"
mount -t proc lab "$root/proc"
for file in proc/*; do [ ! -f "$file" ] || mount --bind "$file" "$root/$file"; done
mount --bind sys "$root/sys"

# What the user of the device sees as his own.
cp -R etc/. "$root/etc/"
mkdir -p "$root$LAB_HOME"
tmpfs "$root$LAB_HOME" "$LAB_DISK"
cp -R home/. "$root$LAB_HOME/"
[ -n "$LAB_TMP" ] || rmdir "$root/tmp"
[ -z "$LAB_TMP" ] || mount -t tmpfs -o "size=$LAB_TMP,mode=1777" lab "$root/tmp"

# Logged in is an ordinary user, 1000: the server itself runs as him and needs no privilege.
exec 3<&0
unshare --user --map-user=1000 --map-group=1000 --root="$root" --wd=/ \
    /usr/sbin/sshd -D -e -f /etc/ssh/sshd_config </dev/null 3<&- &
sshd=$!
{ read -r _ <&3 || kill -KILL "$sshd"; } &
wait "$sshd" # reaps whatever the device leaves behind, too
