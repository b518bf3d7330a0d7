/* Making a namespace that belongs to no process yet, held by its fd. */
#include "spawner.h"
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <linux/if.h>
#include <linux/sched.h>

struct wish {
    uint64_t flag;
    int loopback;
};

static const char *file_of(uint64_t flag)
{
    switch (flag) {
    case CLONE_NEWNET:
        return "/proc/thread-self/ns/net";
    case CLONE_NEWIPC:
        return "/proc/thread-self/ns/ipc";
    case CLONE_NEWUTS:
        return "/proc/thread-self/ns/uts";
    }
    return "";
}

static int bring_loopback_up(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    OWNED_FD any = (int)TRY(SYS(socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));

    return (int)SYS(ioctl, any, SIOCSIFFLAGS, &request);
}

/* On a spawner thread, whose namespaces are its own business; it comes back before anyone could notice. */
static int make(void *arg, char *stack_top)
{
    const struct wish *wish = arg;
    OWNED_FD home = (int)TRY(SYS(openat, AT_FDCWD, file_of(wish->flag), O_RDONLY | O_CLOEXEC));

    (void)stack_top;
    TRY(SYS(unshare, wish->flag));
    int made = (int)SYS(openat, AT_FDCWD, file_of(wish->flag), O_RDONLY | O_CLOEXEC);
    int up = made >= 0 && wish->loopback ? bring_loopback_up() : 0;
    int back = (int)SYS(setns, home, wish->flag);
    if (made >= 0 && (up < 0 || back < 0)) {
        close_fd(&made);
        return up < 0 ? up : back;
    }
    return made;
}

struct call {
    int process;
    int family;
};

/* On a spawner thread, as above: a socket stays in the network namespace it was made in. */
static int make_socket(void *arg, char *stack_top)
{
    const struct call *call = arg;
    OWNED_FD home = (int)TRY(SYS(openat, AT_FDCWD, file_of(CLONE_NEWNET), O_RDONLY | O_CLOEXEC));

    (void)stack_top;
    TRY(SYS(setns, call->process, CLONE_NEWNET));
    int made = (int)SYS(socket, call->family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int back = (int)SYS(setns, home, CLONE_NEWNET);
    if (made >= 0 && back < 0) {
        close_fd(&made);
        return back;
    }
    return made;
}

int pe_socket_beside(int process, int family)
{
    struct call call = {.process = process, .family = family};

    return on_spawner(make_socket, &call);
}

int pe_new_namespace(uint64_t flag, int loopback)
{
    struct wish wish = {.flag = flag, .loopback = loopback};

    return on_spawner(make, &wish);
}
