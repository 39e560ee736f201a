#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
#
# What the simulator links is what isthmusd links, and none of it reaches out of the process: no object names a function that
# asks a clock, opens a file or a socket, or waits for real time, but those listed here, each with its reason. Of these the
# linker leads every name that matters to tests/sim/threads.c.
#
# usage: symbols.sh BUILD-FOLDER [MAP]
set -eu
build=${1:?the build folder}
map=${2:-$build/tests/sim/isthmus-sim.map}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cd "$build"

# layer, object, what it may name, reason
cat >"$scratch/allowed" <<'END'
base clock.o clock_gettime the one place that asks the machine's clocks
base map.o getrandom the seed of hash maps
base panic.o write the last words of a process that ends
index catalog.o closedir,opendir,readdir folders of collections; there are none without catalog_options.dir
index catalog_folders.o close,closedir,fdopendir,fsync,open,openat,opendir,readdir,renameat,unlinkat folders of collections; there are none without catalog_options.dir
index collection_life.o close,fsync,mkdir,open,rmdir what is in those folders
index dense.o closedir,opendir,readdir,stat,unlink,unlinkat what is in those folders
index dense_build.o stat,unlink what is in those folders
index manifest.o close,fsync,open,read,rename,unlink,write what is in those folders
index segment.o close,fstat,fsync,madvise,mmap,munmap,open,rename,unlink,write what is in those folders
index shard.o rmdir what is in those folders
index slots_file.o close,fdatasync,fstat,fsync,ftruncate,mmap,munmap,open,pread,pwrite,rename,unlink what is in those folders
replicator audit_report.o close,closedir,fopen,fsync,mkdir,open,opendir,readdir,rename,unlink,write reports of audits; there are none without audit_options.dir
replicator commit_meta.o getrandom the id of a store
replicator replicator_lease.o getrandom the nonce of a start
replicator stream.o fopen the file with the password for NATS; there is none here
END

cat >"$scratch/forbidden" <<'END'
clock_gettime gettimeofday time timespec_get clock_nanosleep nanosleep usleep sleep alarm setitimer timer_create timerfd_create
getrandom getentropy random rand drand48 arc4random getpid gethostname getenv
open open64 openat openat64 creat fopen fopen64 freopen mkstemp mkostemp tmpfile stat fstat lstat fstatat statx access opendir
fdopendir readdir closedir mkdir rmdir unlink unlinkat rename renameat link symlink ftruncate truncate fallocate flock fcntl ioctl
read write pread pread64 pwrite pwrite64 readv writev preadv pwritev close dup dup2 pipe pipe2 fsync fdatasync msync sync syncfs
mmap mmap64 munmap mremap madvise mprotect
socket socketpair bind listen accept accept4 connect send sendto sendmsg recv recvfrom recvmsg getaddrinfo gethostbyname
poll ppoll select pselect epoll_create epoll_create1 epoll_ctl epoll_wait epoll_pwait eventfd sched_yield
fork vfork execve posix_spawn waitpid kill
END

# The members of our archives that were linked: "libindex.a(shard.o)" or "libindex.a(index/shard.o)" in the linker's map.
grep -oE '^LOAD|^lib(base|index|replicator)\.a\([^)]*\)' "$map" | grep '^lib' | sort -u >"$scratch/members"
test -s "$scratch/members" || { echo "symbols.sh: $map names no object of ours"; exit 1; }
if grep -qE 'stream_nats|store_lmdb' "$scratch/members"; then
	echo 'symbols.sh: the simulator links the ways to NATS or LMDB'
	exit 1
fi

while read -r member; do
	archive=${member%%(*} object=${member#*(}
	layer=${archive#lib} object=${object%)}
	nm -u --format=posix "${layer%.a}/${object##*/}" | awk -v layer="${layer%.a}" -v object="${object##*/}" '
		{ sub(/@.*/, "", $1); sub(/^__/, "", $1); sub(/_chk$/, "", $1); sub(/_2$/, "", $1); print layer, object, $1 }'
done <"$scratch/members" >"$scratch/named"

awk -v members="$(wc -l <"$scratch/members")" '
FILENAME ~ /forbidden$/ { for (i = 1; i <= NF; i++) forbidden[$i] = 1; next }
FILENAME ~ /allowed$/ {
	n = split($3, names, ",")
	for (i = 1; i <= n; i++)
		allowed[$1 "/" $2 " " names[i]] = 1
	next
}
{ named++ }
!($3 in forbidden) { next }
($1 "/" $2 " " $3) in allowed { found++; next }
{ printf "%s/%s: names %s, which the simulator does not own\n", $1, $2, $3; bad = 1 }
END {
	if (!named) {
		print "symbols.sh: not one symbol was seen; nothing was checked"
		exit 1
	}
	printf "%d objects, %d symbols that they do not define, %d of them with a reason\n", members, named, found
	exit bad
}' "$scratch/forbidden" "$scratch/allowed" "$scratch/named"
