/* What the escape suite tries by raw system calls: `attempts NAME ARGUMENT...`.
 * Exit 0: the attempt succeeded. Exit 1: it was refused, and the errno's name is on stdout.
 * Exit 2: no such attempt. Nothing here does lasting harm to the machine when it succeeds. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <dirent.h>
#include <linux/filter.h>
#include <linux/if_alg.h>
#include <linux/seccomp.h>
#include <linux/netlink.h>
#include <linux/vm_sockets.h>
#include <mqueue.h>
#include <netinet/in.h>
#include <pthread.h>
#include <resolv.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/msg.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/sendfile.h>
#include <sys/shm.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#define SECRET_AT ((char *)0x510000000)
#define TEXT "escaped\n"

static char **a; /* the attempt's arguments */

static int done(long result) {
    if (result >= 0) return 0;
    puts(strerrorname_np(errno));
    return 1;
}

static int number(int i) { return atoi(a[i]); }

/* --- files: a[0] is what is written to, a[1] something that may be read or a second path --- */

static int put(int fd) {
    if (fd < 0) return done(-1);
    return done(write(fd, TEXT, 8));
}
static int f_open(void) { return put(syscall(SYS_openat, AT_FDCWD, a[0], O_WRONLY | O_CREAT, 0644)); }
static int f_append(void) { return put(open(a[0], O_RDWR | O_APPEND)); }
static int f_trunc_open(void) { return done(open(a[0], O_RDONLY | O_TRUNC)); }
static int f_creat(void) { return put(creat(a[0], 0644)); }
static int f_openat2(void) {
    uint64_t how[3] = { O_WRONLY | O_CREAT, 0644, 0 };
    return put(syscall(SYS_openat2, AT_FDCWD, a[0], how, sizeof how));
}
static int f_truncate(void) { return done(truncate(a[0], 0)); }
static int f_rename(void) { return done(rename(a[0], a[1])); }
static int f_exchange(void) { return done(renameat2(AT_FDCWD, a[0], AT_FDCWD, a[1], RENAME_EXCHANGE)); }
static int f_link(void) { return done(link(a[0], a[1])); }
static int f_symlink(void) { return done(symlink(a[0], a[1])); }
static int f_mkdir(void) { return done(mkdir(a[0], 0755)); }
static int f_fifo(void) { return done(mknod(a[0], S_IFIFO | 0644, 0)); }
static int f_device(void) { return done(mknod(a[0], S_IFCHR | 0666, (1 << 8) | 3)); }
static int f_unlink(void) { return done(unlink(a[0])); }
static int f_rmdir(void) { return done(rmdir(a[0])); }
static int f_chmod(void) { return done(chmod(a[0], 0600)); }
static int f_fchmod(void) { return done(fchmod(open(a[0], O_RDONLY), 0600)); }
static int f_fchmodat2(void) { return done(syscall(452, AT_FDCWD, a[0], 0600, 0)); }
static int f_chown(void) { return done(chown(a[0], getuid(), getgid())); }
static int f_lchown(void) { return done(lchown(a[0], getuid(), getgid())); }
static int f_utimes(void) {
    struct timespec t[2] = { { 1, 0 }, { 1, 0 } };
    return done(utimensat(AT_FDCWD, a[0], t, 0));
}
static int f_setxattr(void) { return done(setxattr(a[0], "user.escape", "x", 1, 0)); }
static int f_fsetxattr(void) { return done(fsetxattr(open(a[0], O_RDONLY), "user.escape", "x", 1, 0)); }
static int f_flags(void) {
    int flags = FS_NODUMP_FL;
    return done(ioctl(open(a[0], O_RDONLY), FS_IOC_SETFLAGS, &flags));
}
static int f_fsxattr(void) {
    struct fsxattr x = { .fsx_xflags = FS_XFLAG_NODUMP };
    return done(ioctl(open(a[0], O_RDONLY), FS_IOC_FSSETXATTR, &x));
}
static int btrfs(unsigned long code, const char *in, int64_t fd) { /* struct btrfs_ioctl_vol_args */
    struct { int64_t fd; char name[4088]; } x = { fd, "made" };
    return done(ioctl(open(in, O_RDONLY | O_DIRECTORY), code, &x));
}
static int f_subvolume(void) { return btrfs(0x5000940e, a[0], 0); }
static int f_snapshot(void) { return btrfs(0x50009401, a[0], open(a[1], O_RDONLY)); }
static int f_mmap(void) {
    int fd = open(a[0], O_RDWR);
    if (fd < 0) return done(-1);
    char *p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED) return done(-1);
    memcpy(p, "mapped", 6);
    return done(msync(p, 4096, MS_SYNC));
}
static int f_tmpfile(void) {
    int fd = open(a[0], O_TMPFILE | O_WRONLY, 0644);
    char self[64];
    if (put(fd)) return 1;
    snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
    return done(linkat(AT_FDCWD, self, AT_FDCWD, a[1], AT_SYMLINK_FOLLOW));
}
static int f_copy_range(void) {
    int in = open(a[1], O_RDONLY), out = open(a[0], O_WRONLY);
    return done(out < 0 ? -1 : copy_file_range(in, 0, out, 0, 4, 0));
}
static int f_sendfile(void) {
    int in = open(a[1], O_RDONLY), out = open(a[0], O_WRONLY);
    return done(out < 0 ? -1 : sendfile(out, in, 0, 4));
}
static int f_splice(void) {
    int p[2], out = open(a[0], O_WRONLY);
    if (out < 0 || pipe(p) || write(p[1], TEXT, 8) != 8) return done(-1);
    return done(splice(p[0], 0, out, 0, 8, 0));
}
static int f_fallocate(void) {
    int out = open(a[0], O_WRONLY);
    return done(out < 0 ? -1 : fallocate(out, 0, 0, 9999));
}
static int f_reopen(void) { /* a read descriptor, opened again for writing by its /proc name */
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", open(a[0], O_RDONLY));
    return put(open(self, O_WRONLY));
}
static int f_proc_root(void) {
    char path[4200];
    snprintf(path, sizeof path, "/proc/self/root%s", a[0]);
    return put(open(path, O_WRONLY));
}
static int f_dirfd(void) { /* relative to a directory's descriptor, with dots in it */
    char *slash = strrchr(a[0], '/');
    *slash = 0;
    int dir = open(a[0], O_PATH | O_DIRECTORY);
    char path[512];
    snprintf(path, sizeof path, "././/%s", slash + 1);
    return put(openat(dir, path, O_WRONLY | O_CREAT, 0644));
}
static int f_chdir(void) {
    char *slash = strrchr(a[0], '/');
    *slash = 0;
    if (chdir(a[0])) return done(-1);
    return put(open(slash + 1, O_WRONLY | O_CREAT, 0644));
}
static int f_bind(void) { /* a unix socket's name is a file, too */
    struct sockaddr_un s = { .sun_family = AF_UNIX };
    strncpy(s.sun_path, a[0], sizeof s.sun_path - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    return done(fd < 0 ? -1 : bind(fd, (void *)&s, sizeof s));
}
static int f_vfork(void) { /* by a child that shares the memory */
    int status;
    pid_t child = vfork();
    if (!child) _exit(put(open(a[0], O_WRONLY)));
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}
static void *in_thread(void *unused) { return (void *)(long)put(open(a[0], O_WRONLY)); }
static int f_thread(void) {
    pthread_t t;
    void *r;
    if (pthread_create(&t, 0, in_thread, 0)) return 1;
    pthread_join(t, &r);
    return (int)(long)r;
}
static int io_uring(void) {
    char parameters[120] = { 0 };
    return done(syscall(SYS_io_uring_setup, 4, parameters));
}

/* --- reads --- */

static int show(int fd) {
    char text[4096];
    long n = fd < 0 ? -1 : read(fd, text, sizeof text);
    if (n < 0) return done(-1);
    return done(write(1, text, n));
}
static int r_open(void) { return show(open(a[0], O_RDONLY)); }
static int r_openat2(void) {
    uint64_t how[3] = { O_RDONLY, 0, 0 };
    return show(syscall(SYS_openat2, AT_FDCWD, a[0], how, sizeof how));
}
static int r_path(void) { /* through a descriptor that stands for the place only */
    char self[64];
    snprintf(self, sizeof self, "/proc/self/fd/%d", open(a[0], O_PATH));
    return show(open(self, O_RDONLY));
}
static int r_link(void) {
    if (link(a[0], a[1])) return done(-1);
    return show(open(a[1], O_RDONLY));
}
static int r_moved(void) { /* the directory above moved to where reading is allowed */
    char path[4200];
    if (rename(a[0], a[1])) return done(-1);
    snprintf(path, sizeof path, "%s/key", a[1]);
    return show(open(path, O_RDONLY));
}
static int r_mmap(void) {
    int fd = open(a[0], O_RDONLY);
    char *p = fd < 0 ? MAP_FAILED : mmap(0, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) return done(-1);
    return done(write(1, p, strlen(p)));
}
static int r_sendfile(void) {
    int p[2], fd = open(a[0], O_RDONLY);
    if (fd < 0 || pipe(p) || sendfile(p[1], fd, 0, 4096) < 0) return done(-1);
    return show(p[0]);
}
static int r_handle(void) {
    struct { struct file_handle h; char more[128]; } x = { .h.handle_bytes = 128 };
    int mount, dir = open("/", O_RDONLY);
    if (name_to_handle_at(AT_FDCWD, a[0], &x.h, &mount, 0)) return done(-1);
    (void)dir;
    return show(open_by_handle_at(open(a[1], O_RDONLY), &x.h, O_RDONLY));
}
static int r_exec(void) { execl(a[0], a[0], (char *)0); return done(-1); }
static int r_environ(void) {
    char path[64], text[65536];
    snprintf(path, sizeof path, "/proc/%s/environ", a[0]);
    int fd = open(path, O_RDONLY);
    long n = fd < 0 ? -1 : read(fd, text, sizeof text);
    return done(n < 0 ? -1 : write(1, text, n));
}
static int r_mem(void) {
    char path[64], text[200] = { 0 };
    snprintf(path, sizeof path, "/proc/%s/mem", a[0]);
    int fd = open(path, O_RDONLY);
    if (fd < 0 || pread(fd, text, 199, (long)SECRET_AT) < 0) return done(-1);
    return done(write(1, text, strlen(text)));
}
static int r_fd(void) { /* what another process holds open */
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/fd/9", a[0]);
    return show(open(path, O_RDONLY));
}
static int r_cwd(void) {
    char path[4200];
    snprintf(path, sizeof path, "/proc/%s/root%s", a[0], a[1]);
    return show(open(path, O_RDONLY));
}
static int r_vm(void) {
    char text[200] = { 0 };
    struct iovec to = { text, 64 }, from = { SECRET_AT, 64 };
    if (process_vm_readv(number(0), &to, 1, &from, 1, 0) < 0) return done(-1);
    return done(write(1, text, strlen(text)));
}
static int w_vm(void) {
    struct iovec from = { TEXT, 8 }, to = { SECRET_AT + 2048, 8 };
    return done(process_vm_writev(number(0), &from, 1, &to, 1, 0));
}
static int r_pidfd(void) {
    int pidfd = syscall(SYS_pidfd_open, number(0), 0);
    return show(pidfd < 0 ? -1 : syscall(SYS_pidfd_getfd, pidfd, 9, 0));
}
static int r_ptrace(void) {
    int status;
    if (ptrace(PTRACE_ATTACH, number(0), 0, 0)) return done(-1);
    waitpid(number(0), &status, 0);
    ptrace(PTRACE_DETACH, number(0), 0, 0);
    return 0;
}
static int p_seize(void) {
    long r = ptrace(PTRACE_SEIZE, number(0), 0, 0);
    if (!r) ptrace(PTRACE_DETACH, number(0), 0, 0);
    return done(r);
}

/* --- network: a[0] is a port or a path --- */

static struct sockaddr_in v4(void) {
    return (struct sockaddr_in){ AF_INET, htons(number(0)), { htonl(INADDR_LOOPBACK) } };
}
static struct sockaddr_in6 v6(void) {
    return (struct sockaddr_in6){ AF_INET6, htons(number(0)), 0, IN6ADDR_LOOPBACK_INIT, 0 };
}
static int reach(int fd, void *address, int length) {
    if (fd < 0 || connect(fd, address, length)) return done(-1);
    return done(send(fd, TEXT, 8, MSG_NOSIGNAL));
}
static int n_tcp4(void) { struct sockaddr_in s = v4(); return reach(socket(AF_INET, SOCK_STREAM, 0), &s, sizeof s); }
static int n_tcp6(void) { struct sockaddr_in6 s = v6(); return reach(socket(AF_INET6, SOCK_STREAM, 0), &s, sizeof s); }
static int n_mapped(void) {
    struct sockaddr_in6 s = { AF_INET6, htons(number(0)) };
    inet_pton(AF_INET6, "::ffff:127.0.0.1", &s.sin6_addr);
    return reach(socket(AF_INET6, SOCK_STREAM, 0), &s, sizeof s);
}
static int n_any(void) { /* 0.0.0.0 means this machine */
    struct sockaddr_in s = { AF_INET, htons(number(0)) };
    return reach(socket(AF_INET, SOCK_STREAM, 0), &s, sizeof s);
}
static int n_mptcp(void) { struct sockaddr_in s = v4(); return reach(socket(AF_INET, SOCK_STREAM, 262), &s, sizeof s); }
static int n_async(void) { /* a connection that is made after the call came back */
    struct sockaddr_in s = v4();
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    if (fd < 0 || (connect(fd, (void *)&s, sizeof s) && errno != EINPROGRESS)) return done(-1);
    usleep(50000);
    return done(send(fd, TEXT, 8, MSG_NOSIGNAL));
}
static int n_fastopen(void) {
    struct sockaddr_in s = v4();
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    return done(fd < 0 ? -1 : sendto(fd, TEXT, 8, MSG_FASTOPEN | MSG_NOSIGNAL, (void *)&s, sizeof s));
}
static int n_fastopen_connect(void) {
    struct sockaddr_in s = v4();
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    if (fd < 0) return done(-1);
    setsockopt(fd, IPPROTO_TCP, 30, &one, sizeof one);
    return reach(fd, &s, sizeof s);
}
static int n_udp_sendto(void) {
    struct sockaddr_in s = v4();
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    return done(fd < 0 ? -1 : sendto(fd, TEXT, 8, 0, (void *)&s, sizeof s));
}
static int n_udp6(void) {
    struct sockaddr_in6 s = v6();
    int fd = socket(AF_INET6, SOCK_DGRAM, 0);
    return done(fd < 0 ? -1 : sendto(fd, TEXT, 8, 0, (void *)&s, sizeof s));
}
static int n_udp_connect(void) { struct sockaddr_in s = v4(); return reach(socket(AF_INET, SOCK_DGRAM, 0), &s, sizeof s); }
static int n_sendmsg(void) {
    struct sockaddr_in s = v4();
    struct iovec v = { TEXT, 8 };
    struct msghdr m = { &s, sizeof s, &v, 1 };
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    return done(fd < 0 ? -1 : sendmsg(fd, &m, 0));
}
static int n_sendmmsg(void) {
    struct sockaddr_in s = v4();
    struct iovec v = { TEXT, 8 };
    struct mmsghdr m = { { &s, sizeof s, &v, 1 } };
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    return done(fd < 0 ? -1 : sendmmsg(fd, &m, 1, 0));
}
static int n_udplite(void) { return done(socket(AF_INET, SOCK_DGRAM, 136)); }
static int n_icmp(void) { return done(socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP)); }
static int n_raw(void) { return done(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)); }
static int n_raw6(void) { return done(socket(AF_INET6, SOCK_RAW, IPPROTO_ICMPV6)); }
static int n_sctp(void) { return done(socket(AF_INET, SOCK_STREAM, 132)); }
static int n_packet(void) { return done(socket(AF_PACKET, SOCK_RAW, htons(3))); }
static int n_vsock(void) { return done(socket(AF_VSOCK, SOCK_STREAM, 0)); }
static int n_netlink(void) { return done(socket(AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)); }
static int n_uevent(void) { return done(socket(AF_NETLINK, SOCK_RAW, NETLINK_KOBJECT_UEVENT)); }
static int n_alg(void) { return done(socket(AF_ALG, SOCK_SEQPACKET, 0)); }
static int n_xdp(void) { return done(socket(44, SOCK_RAW, 0)); }
static int n_bluetooth(void) { return done(socket(31, SOCK_RAW, 1)); }
static int n_can(void) { return done(socket(29, SOCK_RAW, 1)); }
static int n_key(void) { return done(socket(15, SOCK_RAW, 2)); }
static int n_unix(void) {
    struct sockaddr_un s = { .sun_family = AF_UNIX };
    strncpy(s.sun_path, a[0], sizeof s.sun_path - 1);
    return reach(socket(AF_UNIX, SOCK_STREAM, 0), &s, sizeof s);
}
static int n_abstract(void) {
    struct sockaddr_un s = { .sun_family = AF_UNIX };
    strncpy(s.sun_path + 1, a[0], sizeof s.sun_path - 2);
    return reach(socket(AF_UNIX, SOCK_STREAM, 0), &s, offsetof(struct sockaddr_un, sun_path) + 1 + strlen(a[0]));
}
static int n_unix_dgram(void) {
    struct sockaddr_un s = { .sun_family = AF_UNIX };
    strncpy(s.sun_path, a[0], sizeof s.sun_path - 1);
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    return done(fd < 0 ? -1 : sendto(fd, TEXT, 8, 0, (void *)&s, sizeof s));
}
static int n_pair_dgram(void) { /* one end of a pair, sent elsewhere by address */
    struct sockaddr_un s = { .sun_family = AF_UNIX };
    int p[2];
    strncpy(s.sun_path, a[0], sizeof s.sun_path - 1);
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, p)) return done(-1);
    return done(sendto(p[0], TEXT, 8, 0, (void *)&s, sizeof s));
}
static int n_unix_symlink(void) {
    if (symlink(a[0], a[1])) return done(-1);
    a[0] = a[1];
    return n_unix();
}
static int n_inherited(void) { /* descriptors that came from outside */
    for (int fd = 3; fd < 64; fd++)
        if (write(fd, TEXT, 8) == 8) return 0;
    errno = EBADF;
    return done(-1);
}

/* --- programs --- */

static int e_memfd(void) {
    char buffer[65536];
    int in = open(a[0], O_RDONLY), fd = memfd_create("x", 0);
    long n;
    while ((n = read(in, buffer, sizeof buffer)) > 0)
        if (write(fd, buffer, n) != n) return done(-1);
    char *argv[] = { "x", "ran", 0 };
    if (a[1]) {
        char self[64];
        snprintf(self, sizeof self, "/proc/self/fd/%d", fd);
        execv(self, argv);
    } else
        fexecve(fd, argv, environ);
    return done(-1);
}
static int e_empty_path(void) {
    char *argv[] = { "x", "ran", 0 };
    syscall(SYS_execveat, open(a[0], O_PATH), "", argv, environ, AT_EMPTY_PATH);
    return done(-1);
}
static int e_proc_fd(void) {
    char self[64], *argv[] = { "x", "ran", 0 };
    snprintf(self, sizeof self, "/proc/self/fd/%d", open(a[0], O_RDONLY));
    execv(self, argv);
    return done(-1);
}
static int e_map(void) { /* code of one's own into a program that may run */
    int fd = open(a[0], O_RDONLY);
    return done(mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0) == MAP_FAILED ? -1 : 0);
}
static int e_thread_fork(void) {
    int status;
    pid_t child = fork();
    if (!child) { execl(a[0], "x", "ran", (char *)0); _exit(done(-1)); }
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}

/* --- kernel surface --- */

static int unshared(int flags) { return done(syscall(SYS_unshare, flags)); }
static int k_userns(void) { return unshared(CLONE_NEWUSER); }
static int k_netns(void) { return unshared(CLONE_NEWNET); }
static int k_mntns(void) { return unshared(CLONE_NEWNS); }
static int k_pidns(void) { return unshared(CLONE_NEWPID); }
static int k_usernet(void) { return unshared(CLONE_NEWUSER | CLONE_NEWNET); }
static int reaped(long child) {
    if (!child) _exit(0);
    if (child > 0) waitpid(child, 0, __WALL);
    return done(child);
}
static int k_clone_user(void) { return reaped(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0)); }
static int k_clone3(void) {
    uint64_t args[11] = { CLONE_NEWUSER, 0, 0, 0, SIGCHLD };
    return reaped(syscall(SYS_clone3, args, sizeof args));
}
static int k_setns(void) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%s/ns/uts", a[0]);
    int fd = open(path, O_RDONLY);
    return done(fd < 0 ? -1 : setns(fd, 0));
}
static int k_setns_pidfd(void) { return done(setns(syscall(SYS_pidfd_open, number(0), 0), CLONE_NEWUTS)); }
static int k_mount(void) {
    if (mount("none", a[0], "tmpfs", 0, 0)) return done(-1);
    return done(umount2(a[0], MNT_DETACH));
}
static int k_fsopen(void) { return done(syscall(SYS_fsopen, "tmpfs", 0)); }
static int k_open_tree(void) { return done(syscall(SYS_open_tree, AT_FDCWD, a[0], 1)); }
static int k_pivot_root(void) { return done(syscall(SYS_pivot_root, a[0], a[0])); }
static int k_chroot(void) { return done(chroot(a[0])); }
static int k_bpf(void) {
    uint32_t attr[32] = { 2, 4, 4, 1 };
    return done(syscall(SYS_bpf, 0, attr, sizeof attr));
}
static int k_perf(void) {
    uint32_t attr[32] = { 1, 128, 0 };
    attr[10] = 1 << 5 | 1 << 6;
    return done(syscall(SYS_perf_event_open, attr, 0, -1, -1, 0));
}
static int k_userfaultfd(void) { return done(syscall(SYS_userfaultfd, 1)); }
static int k_keyctl(void) { return done(syscall(SYS_keyctl, 0, -3, 1)); }
static int k_add_key(void) { return done(syscall(SYS_add_key, "user", "escape", "x", 1, -2)); }
static int k_request_key(void) {
    syscall(SYS_add_key, "user", "escape", "x", 1, -2);
    return done(syscall(SYS_request_key, "user", "escape", 0, -2));
}
static int k_kexec(void) { return done(syscall(SYS_kexec_load, 0, 0, 0, 0)); }
static int k_init_module(void) { return done(syscall(SYS_init_module, TEXT, 8, "")); }
static int k_delete_module(void) { return done(syscall(SYS_delete_module, "no_such_module", O_NONBLOCK)); }
#ifdef __x86_64__
static int k_iopl(void) { return done(syscall(SYS_iopl, 3)); }
static int k_ioperm(void) { return done(syscall(SYS_ioperm, 0x80, 1, 1)); }
static int k_ldt(void) {
    uint32_t entry[4] = { 0, 0, 0xfffff, 0x51 };
    return done(syscall(SYS_modify_ldt, 1, entry, sizeof entry));
}
static int k_i386(void) { /* getpid by the 32-bit entry */
    long r;
    __asm__ volatile("int $0x80" : "=a"(r) : "a"(20) : "memory", "r8", "r9", "r10", "r11");
    errno = r < 0 ? -r : 0;
    return done(r < 0 ? -1 : 0);
}
static int k_x32(void) { return done(syscall(0x40000000 | 39)); }
#else
static int other(void) { errno = ENOSYS; return done(-1); }
#define k_iopl other
#define k_ioperm other
#define k_ldt other
#define k_i386 other
#define k_x32 other
#endif
static int k_kill(void) { return done(kill(number(0), SIGUSR1)); }
static int k_tgkill(void) { return done(syscall(SYS_tgkill, number(0), number(0), SIGUSR1)); }
static int k_tkill(void) { return done(syscall(SYS_tkill, number(0), SIGUSR1)); }
static int k_sigqueue(void) { return done(sigqueue(number(0), SIGUSR1, (union sigval){ 0 })); }
static int k_pidfd_signal(void) {
    int fd = syscall(SYS_pidfd_open, number(0), 0);
    return done(fd < 0 ? -1 : syscall(SYS_pidfd_send_signal, fd, SIGUSR1, 0, 0));
}
static int k_fsetown(void) { /* the kernel sends the signal */
    int p[2];
    if (pipe(p) || fcntl(p[0], F_SETOWN, number(0)) || fcntl(p[0], F_SETSIG, SIGUSR1) ||
        fcntl(p[0], F_SETFL, O_ASYNC | O_NONBLOCK)) return done(-1);
    return done(write(p[1], "x", 1));
}
static int k_prlimit(void) {
    struct rlimit r = { 32, 64 };
    return done(prlimit(number(0), RLIMIT_NOFILE, &r, 0));
}
static int k_affinity(void) {
    cpu_set_t s;
    CPU_ZERO(&s);
    CPU_SET(0, &s);
    return done(sched_setaffinity(number(0), sizeof s, &s));
}
static int k_priority(void) { return done(setpriority(PRIO_PROCESS, number(0), 19)); }
static int k_scheduler(void) {
    struct sched_param p = { 0 };
    return done(sched_setscheduler(number(0), SCHED_BATCH, &p));
}
static int k_ioprio(void) { return done(syscall(SYS_ioprio_set, 1, number(0), 3 << 13)); }
static int k_migrate(void) { return done(syscall(SYS_migrate_pages, number(0), 64, (long[]){ 1 }, (long[]){ 1 })); }
static int k_madvise(void) {
    struct iovec v = { SECRET_AT, 4096 };
    int fd = syscall(SYS_pidfd_open, number(0), 0);
    return done(fd < 0 ? -1 : syscall(SYS_process_madvise, fd, &v, 1, MADV_COLD, 0));
}
static int k_kcmp(void) { return done(syscall(SYS_kcmp, getpid(), number(0), 1, 0, 0)); }
static int k_shm(void) {
    int id = shmget(IPC_PRIVATE, 4096, 0600);
    if (id >= 0) shmctl(id, IPC_RMID, 0);
    return done(id);
}
static int k_sem(void) {
    int id = semget(IPC_PRIVATE, 1, 0600);
    if (id >= 0) semctl(id, 0, IPC_RMID);
    return done(id);
}
static int k_msg(void) {
    int id = msgget(IPC_PRIVATE, 0600);
    if (id >= 0) msgctl(id, IPC_RMID, 0);
    return done(id);
}
static int k_mq(void) {
    char name[64];
    snprintf(name, sizeof name, "/escape-%d", getpid());
    int fd = mq_open(name, O_CREAT | O_RDWR, 0600, 0);
    if (fd >= 0) mq_unlink(name);
    return done(fd);
}
static int own_terminal(void) {
    setsid();
    int fd = posix_openpt(O_RDWR);
    if (fd < 0 || grantpt(fd) || unlockpt(fd)) return -1;
    int end = open(ptsname(fd), O_RDWR);
    if (end >= 0) ioctl(end, TIOCSCTTY, 0);
    return end;
}
static int k_tiocsti(void) {
    int fd = own_terminal();
    return done(ioctl(fd < 0 ? 0 : fd, TIOCSTI, "x"));
}
static int k_tioclinux(void) {
    char paste = 3;
    int fd = own_terminal();
    return done(ioctl(fd < 0 ? 0 : fd, TIOCLINUX, &paste));
}
static int k_quotactl(void) { return done(syscall(SYS_quotactl, 0x800001 << 8, 0, 0, 0)); }
static int k_swapon(void) { return done(syscall(SYS_swapon, a[0], 0)); }
static int k_reboot(void) { return done(syscall(SYS_reboot, 0xfee1dead, 672274793, 0, 0)); }
static int k_hostname(void) {
    char name[256];
    gethostname(name, sizeof name);
    return done(sethostname(name, strlen(name)));
}
static int k_time(void) {
    struct timezone z = { 0, 0 };
    return done(syscall(SYS_settimeofday, 0, &z));
}
static int k_setuid(void) { return done(setresuid(1, 1, 1)); }
static int k_setgroups(void) {
    gid_t g = getgid();
    return done(syscall(SYS_setgroups, 1, &g));
}
static int k_capset(void) { /* asks for what is not there */
    uint32_t h[2] = { 0x20080522, 0 }, d[6] = { 0 };
    d[0] = d[1] = 1 << 21;
    return done(syscall(SYS_capset, h, d));
}
static int k_fanotify(void) { return done(syscall(SYS_fanotify_init, 0x200, 0)); }
static int k_acct(void) { return done(syscall(SYS_acct, a[0])); }
static int k_syslog(void) {
    char text[64];
    return done(syscall(SYS_syslog, 3, text, sizeof text));
}

/* --- races: a thread swaps what the call names while the call is made, for 100 ms --- */

static char shared_path[4200];
static struct sockaddr_un shared_unix = { .sun_family = AF_UNIX };
static struct sockaddr_in shared_in;
static volatile int over;

static int in_time(void) {
    static struct timespec start;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!start.tv_sec) start = now;
    return (now.tv_sec - start.tv_sec) * 1000000000L + now.tv_nsec - start.tv_nsec < 100000000L;
}
/* Brings two absolute names to one length, so that every mixture of the two is whole. */
static void pad(void) {
    static char room[2][4200];
    size_t length[2] = { strlen(a[0]), strlen(a[1]) };
    for (int i = 0; i < 2; i++) {
        size_t more = length[1 - i] > length[i] ? length[1 - i] - length[i] : 0;
        memset(room[i], '/', more);
        strcpy(room[i] + more, a[i]);
        a[i] = room[i];
    }
}
static void *swap_text(void *text) {
    while (!over) {
        memcpy(text, a[0], strlen(a[0]));
        memcpy(text, a[1], strlen(a[1]));
    }
    return 0;
}
static void *swap_port(void *unused) {
    while (!over) {
        shared_in.sin_family = AF_UNSPEC;
        shared_in.sin_family = AF_INET;
    }
    return 0;
}
static void *swap_link(void *unused) { /* a[2] leads now to a[0], now to a[1] */
    char other[4200];
    snprintf(other, sizeof other, "%s.other", a[2]);
    while (!over) {
        unlink(other);
        if (!symlink(a[0], other)) rename(other, a[2]);
        if (!symlink(a[1], other)) rename(other, a[2]);
    }
    return 0;
}
static void *swap_directory(void *unused) { /* a[0] and a[1] change places */
    while (!over) renameat2(AT_FDCWD, a[0], AT_FDCWD, a[1], RENAME_EXCHANGE);
    return 0;
}
static pthread_t swapper;
static void begin(void *(*swap)(void *), void *what) {
    if (swap == swap_text) {
        pad();
        strcpy(what, a[0]);
    }
    pthread_create(&swapper, 0, swap, what);
}
static int end(void) {
    over = 1;
    pthread_join(swapper, 0);
    return 0; /* what happened is looked at from outside */
}
static void write_to(const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT, 0644);
    if (fd >= 0 && write(fd, TEXT, 8) == 8) close(fd);
    else if (fd >= 0) close(fd);
}
static int race_write(void) {
    begin(swap_text, shared_path);
    while (in_time()) write_to(shared_path);
    return end();
}
static int race_link(void) {
    begin(swap_link, 0);
    while (in_time()) write_to(a[2]);
    return end();
}
static int race_directory(void) {
    begin(swap_directory, 0);
    while (in_time()) {
        snprintf(shared_path, sizeof shared_path, "%s/f", a[0]);
        write_to(shared_path);
    }
    return end();
}
static int race_rename(void) { /* a[2] moved to the name that changes */
    begin(swap_text, shared_path);
    while (in_time()) {
        write_to(a[2]);
        rename(a[2], shared_path);
    }
    return end();
}
static int race_chmod(void) {
    begin(swap_text, shared_path);
    while (in_time()) chmod(shared_path, 0600);
    return end();
}
static int race_read(void) {
    begin(swap_text, shared_path);
    while (in_time()) {
        int fd = open(shared_path, O_RDONLY);
        if (fd >= 0) show(fd);
        close(fd);
    }
    return end();
}
static int race_exec(void) {
    begin(swap_text, shared_path);
    while (in_time()) {
        pid_t child = fork();
        if (!child) {
            /* The thread is not in the child: another one is made there. */
            pthread_create(&swapper, 0, swap_text, shared_path);
            execl(shared_path, "x", "ran", (char *)0);
            _exit(1);
        }
        waitpid(child, 0, 0);
    }
    return end();
}
static int race_unix(void) {
    begin(swap_text, shared_unix.sun_path);
    while (in_time()) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        connect(fd, (void *)&shared_unix, sizeof shared_unix);
        close(fd);
    }
    return end();
}
static int race_port(int type) {
    shared_in = v4();
    begin(swap_port, 0);
    while (in_time()) {
        int fd = socket(AF_INET, type, 0);
        if (type == SOCK_DGRAM) sendto(fd, TEXT, 8, 0, (void *)&shared_in, sizeof shared_in);
        else connect(fd, (void *)&shared_in, sizeof shared_in);
        close(fd);
    }
    return end();
}
static int race_link_source(void) { /* a file linked to where it may be written or read */
    begin(swap_text, shared_path);
    while (in_time()) {
        unlink(a[2]);
        if (!link(shared_path, a[2])) write_to(a[2]);
    }
    return end();
}
static int race_symlink(void) {
    begin(swap_text, shared_path);
    while (in_time())
        if (symlink(a[2], shared_path)) unlink(a[0]);
    return end();
}
static int race_rename_from(void) { /* what is moved into the workspace */
    begin(swap_text, shared_path);
    while (in_time()) {
        write_to(a[0]);
        rename(shared_path, a[2]);
    }
    return end();
}
static int race_mkdir(void) {
    begin(swap_text, shared_path);
    while (in_time())
        if (mkdir(shared_path, 0755)) rmdir(a[0]);
    return end();
}
static int race_unlink(void) {
    begin(swap_text, shared_path);
    while (in_time()) {
        write_to(a[0]);
        unlink(shared_path);
    }
    return end();
}
static int race_truncate(void) {
    begin(swap_text, shared_path);
    while (in_time()) truncate(shared_path, 0);
    return end();
}
static int race_bind(void) {
    begin(swap_text, shared_unix.sun_path);
    while (in_time()) {
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        bind(fd, (void *)&shared_unix, sizeof shared_unix);
        close(fd);
        unlink(a[0]);
    }
    return end();
}
static struct sockaddr_in shared_message;
static void *swap_message(void *unused) {
    while (!over) {
        shared_message.sin_family = AF_UNSPEC;
        shared_message.sin_port = 0;
        shared_message.sin_family = AF_INET;
        shared_message.sin_port = htons(number(0));
    }
    return 0;
}
static int race_sendmsg(void) {
    struct iovec v = { TEXT, 8 };
    struct msghdr m = { &shared_message, sizeof shared_message, &v, 1 };
    shared_message = v4();
    begin(swap_message, 0);
    while (in_time()) {
        int fd = socket(AF_INET, SOCK_DGRAM, 0);
        sendmsg(fd, &m, 0);
        close(fd);
    }
    return end();
}
static int race_times(void) {
    begin(swap_text, shared_path);
    while (in_time()) utimensat(AT_FDCWD, shared_path, 0, 0);
    return end();
}
static int race_openat2(void) { /* flags that change: reading, then writing */
    static volatile uint64_t how[3];
    begin(swap_text, shared_path);
    for (int i = 0; in_time(); i++) {
        how[0] = i % 2 ? O_RDONLY : O_WRONLY;
        int fd = syscall(SYS_openat2, AT_FDCWD, shared_path, how, sizeof how);
        if (fd < 0) fd = open(shared_path, O_WRONLY);
        if (fd >= 0 && write(fd, TEXT, 8) < 8) {}
        close(fd);
    }
    return end();
}
static int race_connect(void) { return race_port(SOCK_STREAM); }
static int race_send(void) { return race_port(SOCK_DGRAM); }

/* A question to a name server on the port, as the C library asks it. */
static int n_resolve(void) {
    unsigned char answer[512];
    if (res_init()) return done(-1);
    _res.nscount = 1;
    _res.nsaddr_list[0] = v4();
    _res.retrans = _res.retry = 1;
    return res_query("escape.example", 1, 1, answer, sizeof answer) < 0;
}
static int n_host(void) { /* a host that is not this one: nothing is sent by it */
    struct sockaddr_in s = { AF_INET, htons(53) };
    inet_pton(AF_INET, "192.0.2.1", &s.sin_addr);
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    return done(fd < 0 ? -1 : connect(fd, (void *)&s, sizeof s));
}
static int give(int to, int fd) {
    char text[1] = { 'x' }, room[CMSG_SPACE(sizeof fd)] = { 0 };
    struct iovec v = { text, 1 };
    struct msghdr m = { 0, 0, &v, 1, room, sizeof room };
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    return sendmsg(to, &m, MSG_NOSIGNAL);
}
static int take(int from) {
    char text[1], room[CMSG_SPACE(sizeof(int))];
    struct iovec v = { text, 1 };
    struct msghdr m = { 0, 0, &v, 1, room, sizeof room };
    int fd = -1;
    if (recvmsg(from, &m, 0) < 1 || !CMSG_FIRSTHDR(&m)) return -1;
    memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&m)), sizeof fd);
    return fd;
}
static int n_smuggle(void) { /* a descriptor handed to whoever listens at a[0] */
    struct sockaddr_un s = { .sun_family = AF_UNIX };
    strncpy(s.sun_path, a[0], sizeof s.sun_path - 1);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd < 0 || connect(fd, (void *)&s, sizeof s)) return done(-1);
    return done(give(fd, open(a[1], O_RDONLY)));
}
static int f_passed(void) { /* a read descriptor handed to a child, who opens it again to write */
    int p[2], status;
    char self[64];
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, p)) return done(-1);
    if (give(p[0], open(a[0], O_RDONLY)) < 0) return done(-1);
    pid_t child = fork();
    if (!child) {
        snprintf(self, sizeof self, "/proc/self/fd/%d", take(p[1]));
        _exit(put(open(self, O_WRONLY)));
    }
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}
static int f_lease(void) { /* whoever opens the file then waits */
    int fd = open(a[0], O_RDONLY);
    return done(fcntl(fd, F_SETLEASE, F_RDLCK));
}
static int f_openat2_beneath(void) {
    uint64_t how[3] = { O_WRONLY, 0, 4 /* RESOLVE_NO_SYMLINKS */ };
    return put(syscall(SYS_openat2, AT_FDCWD, a[0], how, sizeof how));
}

/* --- the process that stands over the command: the first above it that is no shell --- */

static int above(void) {
    char path[64], line[256], name[64];
    int pid = getppid();
    for (;;) {
        snprintf(path, sizeof path, "/proc/%d/stat", pid);
        FILE *f = fopen(path, "r");
        if (!f || !fgets(line, sizeof line, f)) return -1;
        fclose(f);
        int parent;
        if (sscanf(line, "%*d (%63[^)]) %*c %d", name, &parent) != 2) return -1;
        if (strcmp(name, "bash")) return pid;
        pid = parent;
    }
}
static char *above_file(const char *name) {
    static char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", above(), name);
    return path;
}
static int h_kill(void) { return done(kill(above(), SIGURG)); }
static int h_stop(void) { int pid = above(); return done(kill(pid, SIGSTOP) ?: kill(pid, SIGCONT)); }
static int h_group(void) { return done(kill(-getpgid(above()), SIGURG)); }
static int h_tkill(void) { return done(syscall(SYS_tkill, above(), SIGURG)); }
static int h_tgkill(void) { return done(syscall(SYS_tgkill, above(), above(), SIGURG)); }
static int h_sigqueue(void) { return done(sigqueue(above(), SIGURG, (union sigval){ 0 })); }
static int h_pidfd(void) { return done(syscall(SYS_pidfd_open, above(), 0)); }
static int h_prlimit(void) {
    struct rlimit r;
    if (prlimit(above(), RLIMIT_NOFILE, 0, &r)) return done(-1);
    return done(prlimit(above(), RLIMIT_NOFILE, &r, 0));
}
static int h_ptrace(void) {
    int pid = above();
    long r = ptrace(PTRACE_SEIZE, pid, 0, 0);
    if (!r) { int status; ptrace(PTRACE_INTERRUPT, pid, 0, 0); waitpid(pid, &status, __WALL); ptrace(PTRACE_DETACH, pid, 0, 0); }
    return done(r);
}
static int h_memory(void) { return done(open(above_file("mem"), O_RDWR)); }
static int h_environ(void) { return done(open(above_file("environ"), O_RDONLY)); }
static int h_descriptors(void) { return done(open(above_file("fd/0"), O_RDONLY)); }
static int h_descriptors_write(void) { return done(open(above_file("fd/0"), O_WRONLY | O_NONBLOCK)); }
static int h_score(void) { return done(open(above_file("oom_score_adj"), O_WRONLY)); }
static int h_owner(void) { int p[2]; return done(pipe(p) ?: fcntl(p[0], F_SETOWN, above())); }
static int h_owner_ex(void) {
    struct f_owner_ex x = { F_OWNER_PID, above() };
    int p[2];
    return done(pipe(p) ?: fcntl(p[0], F_SETOWN_EX, &x));
}
static int h_siocspgrp(void) {
    int pid = above(), p[2];
    return done(socketpair(AF_UNIX, SOCK_STREAM, 0, p) ?: ioctl(p[0], 0x8902, &pid));
}
static int h_nice(void) { return done(setpriority(PRIO_PROCESS, above(), 0)); }

/* --- not attempts to get out but ways to wear down or to work --- */

static int flood(void) { /* as many different files as the number says */
    char path[4200];
    for (int i = 0; i < number(1); i++) {
        snprintf(path, sizeof path, "%s/%d", a[0], i);
        if (open(path, O_WRONLY | O_CREAT, 0644) >= 0) return 1;
    }
    snprintf(path, sizeof path, "/proc/%d/status", above());
    FILE *f = fopen(path, "r");
    while (f && fgets(path, sizeof path, f))
        if (!strncmp(path, "VmHWM:", 6)) printf("%s", path);
    return 0;
}
static int forks(void) { /* so many children at one time; says how many there were */
    int made = 0;
    while (made < number(0)) {
        pid_t child = fork();
        if (!child) { pause(); _exit(0); }
        if (child < 0) break;
        made++;
    }
    printf("%d\n", made);
    return 0;
}
static int bomb(void) {
    for (int i = 0; i < 1000; i++) fork();
    pause();
    return 0;
}
static int swarm(void) { /* a bomb that stops at so many, which all want to run */
    unsigned *made = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    alarm(60);
    while (__atomic_fetch_add(made, 1, __ATOMIC_RELAXED) < (unsigned)number(0)) {
        pid_t child = fork();
        if (!child) { setpgid(0, 0); setsid(); alarm(60); }
        if (child < 0) sched_yield();
    }
    for (;;) sched_yield();
}
static int filtered(unsigned long flags) { /* a filter of its own, with or without a listener */
    struct sock_filter f[] = { { BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW } };
    struct sock_fprog p = { 1, f };
    prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &p);
}
static int own_filter(void) {
    if (filtered(0)) return done(-1);
    return put(open(a[0], O_WRONLY | O_CREAT, 0644));
}
static int own_listener(void) { return done(filtered(SECCOMP_FILTER_FLAG_NEW_LISTENER)); }
static int everybody(void) { return done(kill(-1, SIGKILL)); }
static int pass_inside(void) { /* a descriptor handed from one process to another inside */
    int p[2], status;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, p)) return done(-1);
    pid_t child = fork();
    if (!child) _exit(give(p[0], open(a[0], O_WRONLY | O_CREAT, 0644)) < 0);
    int fd = take(p[1]);
    waitpid(child, &status, 0);
    return put(fd);
}
static int pipe_waits(void) { /* opening a named pipe waits for the other end, and for nobody else */
    int status;
    if (mkfifo(a[0], 0600)) return done(-1);
    pid_t child = fork();
    if (!child) _exit(put(open(a[0], O_WRONLY)));
    usleep(100000);
    if (waitpid(child, &status, WNOHANG)) return 3; /* it did not wait */
    close(creat(a[1], 0644));
    char text[8];
    int fd = open(a[0], O_RDONLY);
    long n = fd < 0 ? -1 : read(fd, text, 8);
    waitpid(child, &status, 0);
    return n == 8 && !status ? 0 : 4;
}

/* --- not attempts: who stands outside, and what an unlisted program does --- */

static int ran(void) { return done(write(1, "program-ran\n", 12)); }

/* Runs a command as an agent would: its own environment holds what the command's does not. */
static int agent(void) {
    int status;
    pid_t child = fork();
    if (!child) {
        unsetenv("AGENT_TOKEN");
        execvp(a[0], a);
        _exit(127);
    }
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
/* Holds a secret in its memory, its environment and descriptor 9, until it is ended. */
static int bystander(void) {
    char *p = mmap(SECRET_AT, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (p == MAP_FAILED) return done(-1);
    strncpy(p, getenv("AGENT_TOKEN"), 1024);
    if (dup2(open(a[0], O_RDONLY), 9) < 0) return done(-1);
    if (write(1, "ready\n", 6) != 6) return 1;
    alarm(60);
    for (;;) pause();
}

static const struct { const char *name; int (*run)(void); } ATTEMPTS[] = {
    { "open", f_open },
    { "append", f_append },
    { "trunc-open", f_trunc_open },
    { "creat", f_creat },
    { "openat2", f_openat2 },
    { "truncate", f_truncate },
    { "rename", f_rename },
    { "exchange", f_exchange },
    { "link", f_link },
    { "symlink", f_symlink },
    { "mkdir", f_mkdir },
    { "fifo", f_fifo },
    { "device", f_device },
    { "unlink", f_unlink },
    { "rmdir", f_rmdir },
    { "chmod", f_chmod },
    { "fchmod", f_fchmod },
    { "fchmodat2", f_fchmodat2 },
    { "chown", f_chown },
    { "lchown", f_lchown },
    { "utimes", f_utimes },
    { "setxattr", f_setxattr },
    { "fsetxattr", f_fsetxattr },
    { "flags", f_flags },
    { "fsxattr", f_fsxattr },
    { "subvolume", f_subvolume },
    { "snapshot", f_snapshot },
    { "mmap", f_mmap },
    { "tmpfile", f_tmpfile },
    { "copy-range", f_copy_range },
    { "sendfile", f_sendfile },
    { "splice", f_splice },
    { "fallocate", f_fallocate },
    { "reopen", f_reopen },
    { "proc-root", f_proc_root },
    { "dirfd", f_dirfd },
    { "chdir", f_chdir },
    { "bind", f_bind },
    { "vfork", f_vfork },
    { "thread", f_thread },
    { "io-uring", io_uring },
    { "read-open", r_open },
    { "read-openat2", r_openat2 },
    { "read-path", r_path },
    { "read-link", r_link },
    { "read-moved", r_moved },
    { "read-mmap", r_mmap },
    { "read-sendfile", r_sendfile },
    { "read-handle", r_handle },
    { "read-exec", r_exec },
    { "read-environ", r_environ },
    { "read-mem", r_mem },
    { "read-fd", r_fd },
    { "read-cwd", r_cwd },
    { "vm-read", r_vm },
    { "vm-write", w_vm },
    { "read-pidfd", r_pidfd },
    { "read-ptrace", r_ptrace },
    { "seize", p_seize },
    { "tcp4", n_tcp4 },
    { "tcp6", n_tcp6 },
    { "mapped", n_mapped },
    { "any", n_any },
    { "mptcp", n_mptcp },
    { "async", n_async },
    { "fastopen", n_fastopen },
    { "fastopen-connect", n_fastopen_connect },
    { "udp-sendto", n_udp_sendto },
    { "udp6", n_udp6 },
    { "udp-connect", n_udp_connect },
    { "sendmsg", n_sendmsg },
    { "sendmmsg", n_sendmmsg },
    { "udplite", n_udplite },
    { "icmp", n_icmp },
    { "raw", n_raw },
    { "raw6", n_raw6 },
    { "sctp", n_sctp },
    { "packet", n_packet },
    { "vsock", n_vsock },
    { "netlink", n_netlink },
    { "uevent", n_uevent },
    { "alg", n_alg },
    { "xdp", n_xdp },
    { "bluetooth", n_bluetooth },
    { "can", n_can },
    { "key", n_key },
    { "unix", n_unix },
    { "abstract", n_abstract },
    { "unix-dgram", n_unix_dgram },
    { "pair-dgram", n_pair_dgram },
    { "unix-symlink", n_unix_symlink },
    { "inherited", n_inherited },
    { "exec-memfd", e_memfd },
    { "exec-empty-path", e_empty_path },
    { "exec-proc-fd", e_proc_fd },
    { "exec-map", e_map },
    { "fork-exec", e_thread_fork },
    { "userns", k_userns },
    { "netns", k_netns },
    { "mntns", k_mntns },
    { "pidns", k_pidns },
    { "usernet", k_usernet },
    { "clone-user", k_clone_user },
    { "clone3", k_clone3 },
    { "setns", k_setns },
    { "setns-pidfd", k_setns_pidfd },
    { "mount", k_mount },
    { "fsopen", k_fsopen },
    { "open-tree", k_open_tree },
    { "pivot-root", k_pivot_root },
    { "chroot", k_chroot },
    { "bpf", k_bpf },
    { "perf", k_perf },
    { "userfaultfd", k_userfaultfd },
    { "keyctl", k_keyctl },
    { "add-key", k_add_key },
    { "request-key", k_request_key },
    { "kexec", k_kexec },
    { "init-module", k_init_module },
    { "delete-module", k_delete_module },
    { "iopl", k_iopl },
    { "ioperm", k_ioperm },
    { "ldt", k_ldt },
    { "i386", k_i386 },
    { "x32", k_x32 },
    { "kill", k_kill },
    { "tgkill", k_tgkill },
    { "tkill", k_tkill },
    { "sigqueue", k_sigqueue },
    { "pidfd-signal", k_pidfd_signal },
    { "fsetown", k_fsetown },
    { "prlimit", k_prlimit },
    { "affinity", k_affinity },
    { "priority", k_priority },
    { "scheduler", k_scheduler },
    { "ioprio", k_ioprio },
    { "migrate", k_migrate },
    { "madvise", k_madvise },
    { "kcmp", k_kcmp },
    { "shm", k_shm },
    { "sem", k_sem },
    { "msg", k_msg },
    { "mq", k_mq },
    { "tiocsti", k_tiocsti },
    { "tioclinux", k_tioclinux },
    { "quotactl", k_quotactl },
    { "swapon", k_swapon },
    { "reboot", k_reboot },
    { "hostname", k_hostname },
    { "time", k_time },
    { "setuid", k_setuid },
    { "setgroups", k_setgroups },
    { "capset", k_capset },
    { "fanotify", k_fanotify },
    { "acct", k_acct },
    { "syslog", k_syslog },
    { "race-write", race_write },
    { "race-link", race_link },
    { "race-directory", race_directory },
    { "race-rename", race_rename },
    { "race-chmod", race_chmod },
    { "race-read", race_read },
    { "race-exec", race_exec },
    { "race-unix", race_unix },
    { "race-connect", race_connect },
    { "race-link-source", race_link_source },
    { "race-symlink", race_symlink },
    { "race-rename-from", race_rename_from },
    { "race-mkdir", race_mkdir },
    { "race-unlink", race_unlink },
    { "race-truncate", race_truncate },
    { "race-bind", race_bind },
    { "race-sendmsg", race_sendmsg },
    { "race-times", race_times },
    { "race-openat2", race_openat2 },
    { "race-send", race_send },
    { "resolve", n_resolve },
    { "host", n_host },
    { "smuggle", n_smuggle },
    { "passed", f_passed },
    { "lease", f_lease },
    { "openat2-beneath", f_openat2_beneath },
    { "flood", flood },
    { "forks", forks },
    { "bomb", bomb },
    { "swarm", swarm },
    { "own-filter", own_filter },
    { "own-listener", own_listener },
    { "everybody", everybody },
    { "pass-inside", pass_inside },
    { "pipe-waits", pipe_waits },
    { "above-kill", h_kill },
    { "above-stop", h_stop },
    { "above-group", h_group },
    { "above-tkill", h_tkill },
    { "above-tgkill", h_tgkill },
    { "above-sigqueue", h_sigqueue },
    { "above-pidfd", h_pidfd },
    { "above-prlimit", h_prlimit },
    { "above-ptrace", h_ptrace },
    { "above-memory", h_memory },
    { "above-environ", h_environ },
    { "above-descriptors", h_descriptors },
    { "above-descriptors-write", h_descriptors_write },
    { "above-score", h_score },
    { "above-owner", h_owner },
    { "above-nice", h_nice },
    { "above-siocspgrp", h_siocspgrp },
    { "above-owner-ex", h_owner_ex },
    { "ran", ran },
    { "malicious.py", ran },
    { "agent", agent },
    { "bystander", bystander },
};

int main(int count, char **arguments) {
    a = arguments + 2;
    for (size_t i = 0; count > 1 && i < sizeof ATTEMPTS / sizeof *ATTEMPTS; i++)
        if (!strcmp(arguments[1], ATTEMPTS[i].name)) return ATTEMPTS[i].run();
    return 2;
}
