/* Random calls about files, and what they came to: `differences SEED COUNT`, in an empty directory
 * below another one that it may use as well. Run bare and run confined it prints the same. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <sys/time.h>
#include <unistd.h>
#include <utime.h>

static uint64_t state;
static uint32_t any(uint32_t below) { /* splitmix64: the same on every machine */
    uint64_t z = (state += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return (z ^ (z >> 31)) % below;
}

static const char *NAMES[] = { "a", "b", "c", "d", "e", "l", "m", "dir", "sub", "loop" };
static const char *MODES[] = { "755", "644", "700", "600", "2775", "1777", "0", "444", "111", "4755" };
static char *path(int which) {
    static char room[4][5000];
    char *p = room[which], *end = p;
    *p = 0;
    switch (any(60)) {
    case 0: return p; /* no name at all */
    case 1: memset(p, 'n', 255); p[255] = 0; return p;
    case 2: memset(p, 'n', 256); p[256] = 0; return p;
    case 3: for (int i = 0; i < 2100; i++) end = stpcpy(end, "./"); strcpy(end, "a"); return p;
    case 4: for (int i = 0; i < 2040; i++) end = stpcpy(end, "./"); strcpy(end, "a"); return p;
    case 5: return strcpy(p, ".");
    case 6: return strcpy(p, "./");
    case 7: return strcpy(p, "dir/..");
    case 8: return strcpy(p, "dir/.");
    case 9: return strcpy(p, "../here/a");
    case 10: return strcpy(p, "..//here//./dir//b");
    case 11: return (char *)1;
    case 12: return 0;
    }
    int parts = 1 + (any(2) ? 0 : any(3));
    for (int i = 0; i < parts; i++) {
        if (i) end = stpcpy(end, any(8) ? "/" : "//");
        end = stpcpy(end, any(30) ? NAMES[any(10)] : "..");
        /* Nothing leads out of the two directories. */
        if (!strncmp(end - 2, "..", 2)) end = stpcpy(end, "/here");
    }
    if (!any(8)) end = stpcpy(end, "/");
    if (!any(25)) end = stpcpy(end, "/.");
    return p;
}
static const char *shown(const char *p) {
    static char room[4][80];
    static int n;
    char *to = room[n++ % 4];
    if (p == 0) return "NULL";
    if (p == (char *)1) return "BAD";
    snprintf(to, 80, "\"%.40s\"%s", p, strlen(p) > 40 ? "..." : "");
    return to;
}
static mode_t mode(void) { return any(10) ? 0700 | any(64) : strtol(MODES[any(10)], 0, 8); }
static int dirs[6];
static int at(void) { return any(3) ? AT_FDCWD : dirs[any(6)]; }
static const char *at_name(int fd) {
    static char room[4][20];
    static int n;
    char *to = room[n++ % 4];
    if (fd == AT_FDCWD) return "HERE";
    for (int i = 0; i < 6; i++) if (dirs[i] == fd) snprintf(to, 20, "fd%d", i);
    return to;
}
static void result(long r) {
    printf(" = %s\n", r >= 0 ? "ok" : strerrorname_np(errno));
}

static void one_open(void) {
    static const int ACCESS[] = { O_RDONLY, O_WRONLY, O_RDWR, 3 };
    static const int MORE[] = { O_CREAT, O_EXCL, O_TRUNC, O_APPEND, O_DIRECTORY, O_NOFOLLOW, O_PATH,
                                O_CLOEXEC, O_CREAT, O_CREAT };
    int fd = at(), flags = ACCESS[any(20) ? any(3) : 3];
    for (int i = 0; i < 4; i++) if (!any(2)) flags |= MORE[any(10)];
    if (!any(25)) flags = O_TMPFILE | (any(4) ? O_RDWR : O_RDONLY) | (any(2) ? O_EXCL : 0);
    char *p = path(0);
    struct stat s;
    /* A pipe is not waited for. */
    if (p > (char *)1 && !fstatat(fd, p, &s, 0) && S_ISFIFO(s.st_mode)) flags |= O_NONBLOCK;
    mode_t m = mode();
    printf("openat(%s, %s, %#o, %#o)", at_name(fd), shown(p), flags, m);
    int got = openat(fd, p, flags, m);
    if (got < 0) { result(-1); return; }
    fstat(got, &s);
    long kept = fcntl(got, F_GETFL) & ~(O_NOFOLLOW | O_CLOEXEC);
    printf(" = %o %#lo %d", s.st_mode, kept, fcntl(got, F_GETFD));
    printf(" write %s", write(got, "text", 4) == 4 ? "ok" : strerrorname_np(errno));
    if (!any(3)) {
        m = mode();
        printf(" fchmod %#o %s", m, fchmod(got, m) ? strerrorname_np(errno) : "ok");
    }
    if (!any(4)) printf(" fchown %s", fchown(got, getuid(), -1) ? strerrorname_np(errno) : "ok");
    if (!any(4)) {
        struct timespec t[2] = { { 7, 8 }, { any(9), UTIME_OMIT } };
        printf(" futimens %s", futimens(got, t) ? strerrorname_np(errno) : "ok");
    }
    if (!any(4)) printf(" fsetxattr %s", fsetxattr(got, "user.x", "v", 1, any(3)) ? strerrorname_np(errno) : "ok");
    if (!any(4)) printf(" fremovexattr %s", fremovexattr(got, "user.x") ? strerrorname_np(errno) : "ok");
    if (!any(4)) printf(" fchmodat2 %s", syscall(452, got, "", 0640, AT_EMPTY_PATH) ? strerrorname_np(errno) : "ok");
    if (!any(4)) printf(" fchownat %s", fchownat(got, "", getuid(), -1, AT_EMPTY_PATH) ? strerrorname_np(errno) : "ok");
    if (!any(3)) {
        char self[40], *to = path(1);
        snprintf(self, sizeof self, "/proc/self/fd/%d", got);
        printf(" linkat %s %s", shown(to), linkat(AT_FDCWD, self, AT_FDCWD, to, AT_SYMLINK_FOLLOW) ? strerrorname_np(errno) : "ok");
        int again = open(self, O_WRONLY | O_TRUNC | O_NONBLOCK);
        printf(" again %s", again < 0 ? strerrorname_np(errno) : "ok");
        close(again);
    }
    close(got);
    printf("\n");
}
static void one_descriptor(void) { /* a place that is kept */
    int which = any(5);
    if (which == 4) return;
    char *p = path(0);
    if (dirs[which] >= 0) close(dirs[which]);
    dirs[which] = open(p, (any(2) ? O_PATH : O_RDONLY) | (any(3) ? O_DIRECTORY : 0) | O_NONBLOCK);
    printf("fd%d = open(%s)", which, shown(p));
    result(dirs[which]);
}

static void one(void) {
    char *p = path(0), *q = path(1);
    int f = at(), g = at(), flags;
    mode_t m = mode();
    switch (any(26)) {
    case 0: case 1: case 2: case 3: case 4: one_open(); return;
    case 5: one_descriptor(); return;
    case 6: printf("mkdirat(%s, %s, %#o)", at_name(f), shown(p), m); result(mkdirat(f, p, m)); return;
    case 7: flags = any(2) ? AT_REMOVEDIR : any(20) ? 0 : 1;
        printf("unlinkat(%s, %s, %d)", at_name(f), shown(p), flags); result(unlinkat(f, p, flags)); return;
    case 8: printf("rename(%s, %s)", shown(p), shown(q)); result(rename(p, q)); return;
    case 9: flags = any(4);
        printf("renameat2(%s, %s, %s, %s, %d)", at_name(f), shown(p), at_name(g), shown(q), flags);
        result(renameat2(f, p, g, q, flags)); return;
    case 10: flags = any(3) ? 0 : any(2) ? AT_SYMLINK_FOLLOW : any(2) ? AT_EMPTY_PATH : 1;
        printf("linkat(%s, %s, %s, %s, %#x)", at_name(f), shown(p), at_name(g), shown(q), flags);
        result(linkat(f, p, g, q, flags)); return;
    case 11: case 12: printf("symlinkat(%s, %s, %s)", shown(p), at_name(f), shown(q)); result(symlinkat(p, f, q)); return;
    case 13: printf("chmod(%s, %#o)", shown(p), m); result(chmod(p, m)); return;
    case 14: flags = any(3) ? 0 : any(2) ? AT_SYMLINK_NOFOLLOW : any(2) ? AT_EMPTY_PATH : 1;
        printf("fchmodat2(%s, %s, %#o, %#x)", at_name(f), shown(p), m, flags);
        result(syscall(452, f, p, m, flags)); return;
    case 15: flags = any(3) ? 0 : any(2) ? AT_SYMLINK_NOFOLLOW : any(2) ? AT_EMPTY_PATH : 1;
        printf("fchownat(%s, %s, %#x)", at_name(f), shown(p), flags);
        result(fchownat(f, p, any(2) ? getuid() : -1, -1, flags)); return;
    case 16: {
        struct timespec t[2] = { { any(9), any(5) ? 1 : UTIME_NOW }, { 3, any(5) ? any(9) : any(2) ? UTIME_OMIT : 2000000000 } };
        flags = any(3) ? 0 : any(2) ? AT_SYMLINK_NOFOLLOW : any(2) ? AT_EMPTY_PATH : 1;
        int null = !any(4);
        printf("utimensat(%s, %s, %ld, %#x)", at_name(f), shown(p), null ? 0 : t[1].tv_nsec, flags);
        result(syscall(SYS_utimensat, f, p, null ? 0 : t, flags)); return;
    }
    case 17: { long n = (long)any(20) - 3; printf("truncate(%s, %ld)", shown(p), n); result(truncate(p, n)); return; }
    case 18: {
        const char *name = any(6) ? "user.x" : any(2) ? "" : any(2) ? "other.x" : "x";
        flags = any(4); int size = any(10) ? 1 : 70000; static char value[70000];
        int own = any(2);
        printf("%ssetxattr(%s, %s, %d, %d)", own ? "l" : "", shown(p), name, size, flags);
        result(own ? lsetxattr(p, name, value, size, flags) : setxattr(p, name, value, size, flags)); return;
    }
    case 19: printf("removexattr(%s)", shown(p)); result(any(2) ? removexattr(p, "user.x") : lremovexattr(p, "user.x")); return;
    case 20: { mode_t kind = any(2) ? S_IFIFO : any(2) ? S_IFREG : any(2) ? 0 : any(2) ? S_IFSOCK : S_IFDIR;
        printf("mknodat(%s, %s, %#o)", at_name(f), shown(p), kind | m); result(mknodat(f, p, kind | m, 0)); return; }
    case 21: m &= 0777; printf("umask(%#o) = %#o\n", m & 077, umask(m & 077)); return;
    case 22: { struct utimbuf t = { 4, 5 }; printf("utime(%s)", shown(p)); result(syscall(SYS_utimensat, AT_FDCWD, p, 0, 0)); result(utime(p, &t)); return; }
    case 23: { struct timeval t[2] = { { 1, 2 }, { 3, any(3) ? 4 : 1000000 } };
        printf("utimes(%s)", shown(p)); result(utimes(p, t)); return; }
    case 24: {
        struct sockaddr_un s = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (p <= (char *)1 || strlen(p) > 100 || !*p) { close(fd); return; }
        strcpy(s.sun_path, p);
        printf("bind(%s)", shown(p)); long r = bind(fd, (void *)&s, sizeof s); result(r);
        if (!r) {
            listen(fd, 1);
            int c = socket(AF_UNIX, SOCK_STREAM, 0);
            printf("connect"); result(connect(c, (void *)&s, sizeof s)); close(c);
        }
        close(fd); return;
    }
    case 25: {
        struct sockaddr_un s = { .sun_family = AF_UNIX };
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (p <= (char *)1 || strlen(p) > 100 || !*p) { close(fd); return; }
        strcpy(s.sun_path, p);
        printf("connect(%s)", shown(p)); result(connect(fd, (void *)&s, sizeof s)); close(fd); return;
    }
    }
}

static void list(const char *directory, int depth) {
    struct dirent **found;
    int n = scandir(directory, &found, 0, alphasort);
    for (int i = 0; i < n; i++) {
        char whole[4096], target[4096] = "", value[8];
        struct stat s;
        if (!strcmp(found[i]->d_name, ".") || !strcmp(found[i]->d_name, "..")) continue;
        snprintf(whole, sizeof whole, "%s/%s", directory, found[i]->d_name);
        if (lstat(whole, &s)) continue;
        long length = S_ISLNK(s.st_mode) ? readlink(whole, target, sizeof target - 1) : 0;
        target[length < 0 || length > 60 ? 60 : length] = 0;
        printf("%*s%.40s %o %u %u %ld %ld %s %s%ld\n", depth, "", found[i]->d_name, s.st_mode, s.st_uid, s.st_gid,
               (long)s.st_nlink, S_ISDIR(s.st_mode) ? 0 : (long)s.st_size, target,
               s.st_mtime < 1000 ? "old" : "", (long)lgetxattr(whole, "user.x", value, sizeof value));
        if (S_ISDIR(s.st_mode) && depth < 20) list(whole, depth + 1);
    }
}

int main(int count, char **arguments) {
    state = strtoull(arguments[1], 0, 10);
    setvbuf(stdout, 0, _IOLBF, 0);
    umask(022);
    mkdir("here", 0755);
    if (chdir("here")) return 1;
    mkdir("dir", 0755);
    mkdir("sub", 0700);
    symlink("dir", "l");
    symlink("nothing", "m");
    symlink("loop", "loop");
    close(creat("a", 0644));
    for (int i = 0; i < 4; i++) dirs[i] = open(i % 2 ? "." : "dir", O_PATH);
    dirs[2] = open("a", O_RDONLY);
    dirs[4] = 777; /* nothing */
    dirs[5] = -3;
    for (int n = atoi(arguments[2]), i = 0; i < n; i++) {
        printf("%d ", i);
        one();
    }
    list("..", 0);
    return 0;
}
