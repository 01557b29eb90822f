/* Preloaded into codex: the machine seems to have Landlock at version ABI, given when this is
 * compiled, and no newer. No filter can give the answer to the question for the version, which is a
 * number and no error; and codex asks through the C library. What an older kernel refuses is
 * refused: sys_landlock_create_ruleset, security/landlock/syscalls.c. What is left is the kernel's
 * own, so that a ruleset of fewer rights does here what it does there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#endif

/* Rights by version: linux/landlock.h. */
static uint64_t files(void) {
    int rights = ABI < 2 ? 13 : ABI < 3 ? 14 : ABI < 5 ? 15 : 16;
    return (1ULL << rights) - 1;
}

static long fail(int error) {
    errno = error;
    return -1;
}

static long (*kernel)(long, ...);

__attribute__((constructor)) static void start(void) {
    kernel = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    if (!kernel)
        abort();
}

long syscall(long number, ...) {
    va_list list;
    va_start(list, number);
    long a = va_arg(list, long), b = va_arg(list, long), c = va_arg(list, long);
    long d = va_arg(list, long), e = va_arg(list, long), f = va_arg(list, long);
    va_end(list);
    if (number == SYS_landlock_create_ruleset) {
        const uint64_t *attributes = (const uint64_t *)a;
        unsigned known = ABI < 4 ? 1 : ABI < 6 ? 2 : 3;
        if ((uint32_t)c == 1)
            return ABI;
        if (c)
            return fail(EINVAL);
        for (unsigned at = known; at < b / sizeof *attributes; at++)
            if (attributes[at])
                return fail(E2BIG);
        if (attributes[0] & ~files())
            return fail(EINVAL);
    }
    return kernel(number, a, b, c, d, e, f);
}
