/* Runs a program on a machine that seems to lack some of the kernel's features: an outer seccomp
 * filter makes their system calls fail. Usage: outer_filter NAME... -- PROGRAM ARGUMENT... */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_add_rule 445
#define SYS_landlock_restrict_self 446
#endif
#ifndef SECCOMP_FILTER_FLAG_NEW_LISTENER
#define SECCOMP_FILTER_FLAG_NEW_LISTENER (1UL << 3)
#endif

static struct sock_filter program[64];
static unsigned short length;

static void add(struct sock_filter step) { program[length++] = step; }

static void load(unsigned offset) {
    add((struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offset));
}

static void answer(int error) {
    add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error));
}

static void unless_equal(unsigned value, unsigned char skip) {
    add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, value, 0, skip));
}

static void unless_any(unsigned bits, unsigned char skip) {
    add((struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, bits, 0, skip));
}

static unsigned argument(int index) {
    return offsetof(struct seccomp_data, args) + 8 * index;
}

/* The call fails whatever its arguments. */
static void refuse(unsigned call, int error) {
    load(offsetof(struct seccomp_data, nr));
    unless_equal(call, 1);
    answer(error);
}

/* The call fails where its argument has one of the bits. */
static void refuse_bits(unsigned call, int index, unsigned bits, int error) {
    load(offsetof(struct seccomp_data, nr));
    unless_equal(call, 3);
    load(argument(index));
    unless_any(bits, 1);
    answer(error);
}

static int lack(const char *feature) {
    if (!strcmp(feature, "landlock")) {
        refuse(SYS_landlock_create_ruleset, ENOSYS);
        refuse(SYS_landlock_add_rule, ENOSYS);
        refuse(SYS_landlock_restrict_self, ENOSYS);
    } else if (!strcmp(feature, "seccomp")) {
        refuse(SYS_seccomp, ENOSYS);
        load(offsetof(struct seccomp_data, nr));
        unless_equal(SYS_prctl, 3);
        load(argument(0));
        unless_equal(PR_SET_SECCOMP, 1);
        answer(EINVAL);
    } else if (!strcmp(feature, "user-notification")) {
        refuse_bits(SYS_seccomp, 1, SECCOMP_FILTER_FLAG_NEW_LISTENER, EINVAL);
        /* A probe of the answer, SECCOMP_GET_ACTION_AVAIL, would have to look at memory; a
         * kernel without the answer also refuses SECCOMP_GET_NOTIF_SIZES. */
        load(offsetof(struct seccomp_data, nr));
        unless_equal(SYS_seccomp, 3);
        load(argument(0));
        unless_equal(3, 1);
        answer(EINVAL);
    } else if (!strcmp(feature, "user-namespaces")) {
        refuse_bits(SYS_unshare, 0, CLONE_NEWUSER, EPERM);
        refuse_bits(SYS_clone, 0, CLONE_NEWUSER, EPERM);
        refuse(SYS_clone3, ENOSYS);
    } else {
        fprintf(stderr, "outer_filter: no feature '%s'\n", feature);
        return 0;
    }
    return 1;
}

int main(int count, char **words) {
    int at = 1;
    for (; at < count && strcmp(words[at], "--"); at++)
        if (!lack(words[at]))
            return 99;
    if (at + 1 >= count)
        return 99;
    add((struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    struct sock_fprog filter = {length, program};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter)) {
        perror("outer_filter");
        return 99;
    }
    execvp(words[at + 1], words + at + 1);
    perror(words[at + 1]);
    return 99;
}
