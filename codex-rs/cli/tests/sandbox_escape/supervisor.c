/* What a command tries on the helper that answers its calls, and through it. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static struct sockaddr_in at(const char *host, const char *port) {
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(atoi(port)) };
    inet_pton(AF_INET, host, &address.sin_addr);
    return address;
}

static int told(long result) {
    puts(result < 0 ? strerrorname_np(errno) : "done");
    return 0;
}

/* signal PID: through its directory in /proc, which is a descriptor of the process. */
static int by_descriptor(char **a) {
    int process = open(a[0], O_RDONLY | O_DIRECTORY);
    return told(syscall(SYS_pidfd_send_signal, process, SIGSTOP, NULL, 0));
}

/* group PID: into its group, and then to the own group. */
static int by_group(char **a) {
    signal(SIGTERM, SIG_IGN);
    if (setpgid(0, atoi(a[0]))) return told(-1);
    return told(kill(0, SIGTERM));
}

/* dissolve PROXY-HOST PROXY-PORT PORT: a socket that leads to the proxy gets another end. */
static int dissolve(char **a) {
    struct sockaddr_in proxy = at(a[0], a[1]), other = at("127.0.0.1", a[2]);
    /* Something inside listens there too, so that the address itself may be reached. */
    int inside = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(inside, (void *)&other, sizeof other) || listen(inside, 1)) return told(-1);
    int way = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(way, (void *)&proxy, sizeof proxy)) return told(-1);
    struct sockaddr none = { .sa_family = AF_UNSPEC };
    if (connect(way, &none, sizeof none)) return told(-1);
    return told(connect(way, (void *)&other, sizeof other));
}

/* wait FIFO: opened for writing where nobody reads. */
static int waits(char **a) {
    if (fork() == 0) {
        usleep(300000);
        open(a[0], O_RDONLY);
        _exit(0);
    }
    return told(open(a[0], O_WRONLY));
}

/* datagrams: a server that lets its address be used again, and its client. */
static int datagrams(char **a) {
    (void)a;
    int yes = 1, server = socket(AF_INET, SOCK_DGRAM, 0), client = socket(AF_INET, SOCK_DGRAM, 0);
    struct sockaddr_in address = at("127.0.0.1", "4711");
    setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(server, (void *)&address, sizeof address)) return told(-1);
    return told(sendto(client, "x", 1, 0, (void *)&address, sizeof address));
}

/* backlog PATH: more connections than a unix socket takes, each of which waits. */
static int backlog(char **a) {
    struct { sa_family_t family; char path[100]; } address = { .family = AF_UNIX };
    strncpy(address.path, a[0], sizeof address.path - 1);
    int server = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(server, (void *)&address, sizeof address) || listen(server, 0)) return told(-1);
    for (int n = 0; n < 4; n++)
        if (fork() == 0) {
            connect(socket(AF_UNIX, SOCK_STREAM, 0), (void *)&address, sizeof address);
            pause();
        }
    usleep(200000);
    /* Others are answered meanwhile. */
    return told(mkdir("answered", 0755));
}

int main(int count, char **a) {
    static const struct { const char *name; int (*run)(char **); } TRIES[] = {
        { "signal", by_descriptor }, { "group", by_group }, { "dissolve", dissolve },
        { "wait", waits }, { "datagrams", datagrams }, { "backlog", backlog },
    };
    for (size_t n = 0; count > 1 && n < sizeof TRIES / sizeof *TRIES; n++)
        if (!strcmp(a[1], TRIES[n].name)) return TRIES[n].run(a + 2);
    return 2;
}
