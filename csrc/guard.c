/* The guard: sleeps until its owner is dead, and then ends what that leaves behind.
 *
 *     owner                                    guard
 *     starts it  ------------------------->    clones itself, and what was started is over: nobody's child
 *     BORN {pid, pidfd}  <-----------------
 *     words, and fds with them  ----------->   remember
 *     BYE  -------------------------------->   leave
 *     dies, in whatever way                    kill, bury, hand out what was to outlive it, leave
 *
 * Only the owner's pidfd says that it is dead.  That nobody is at the other end of fd 3 says little: who has
 * closed it may live and have containers; a fork of the owner may hold it open for ever.
 *
 * No libc, and nothing is allocated: it must work when there is no memory left. */
#include "ward.h"
#include "lean.h"
#include "shelf.h"
#include "start.h"
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <linux/prctl.h>

enum { OWNER = 3, MOST_FDS = 8, SECONDS_TO_DIE = 20 };

static struct ward ward; /* nothing of it is in the file: most of it is never touched */
static struct shelf shelf;
static int line = OWNER; /* -1 once nobody is there any more */

static _Noreturn void leave(int code)
{
    for (;;)
        SYS(exit_group, code);
}

/* One word, if there is one: 1 if so. */
static int hear(void)
{
    struct pe_guard_word word;
    struct iovec what = {&word, sizeof word};
    char control[CMSG_SPACE(sizeof(int) * MOST_FDS)] __attribute__((aligned(8)));
    struct msghdr message = {
        .msg_iov = &what, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    int fds[MOST_FDS], n_fds = 0;
    long got = SYS(recvmsg, line, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);

    if (got == -EAGAIN || got == -EINTR)
        return 0;
    if (got <= 0) {
        close_fd(&line);
        return 0;
    }
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
        n_fds = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(header), (size_t)n_fds * sizeof(int));
    }
    if (got != sizeof word || message.msg_flags & (MSG_TRUNC | MSG_CTRUNC))
        word.op = 0; /* no word of ours: its fds are closed */
    if (is_for_shelf(word.op))
        stow(&shelf, &word, fds, n_fds);
    else if (note(&ward, &word, fds, n_fds) == 1)
        leave(0);
    return 1;
}

/* Returns when there may be something to do. */
static void rest(void)
{
    struct pollfd both[] = {{.fd = ward.owner, .events = POLLIN}, {.fd = line, .events = POLLIN}};
    struct timespec second = {.tv_sec = 1};
    /* nobody tells when a lock is given up */
    long woken = SYS(ppoll, both, 2, line < 0 ? &second : NULL, NULL, 0);

    if (woken > 0 && !((both[0].revents | both[1].revents) & (POLLIN | POLLHUP)))
        SYS(ppoll, NULL, 0, &second, NULL, 0); /* the kernel does not let us wait for it: look now and then */
}

static _Noreturn void guard(void)
{
    be_lean(); /* from here on there is no first stack any more */
    ward.owner = ward.owners = ward.users = ward.lock = -1;
    shelf.door = shelf.directory = -1;
    for (;;) {
        rest();
        while (line >= 0 && hear())
            continue;
        if (line < 0 && ward.owner < 0)
            leave(1); /* it died before it could say who it was */
        if (is_dead(&ward) || (line < 0 && is_forsaken(&ward)))
            break;
    }
    kill_all(&ward);
    bury(&ward, SECONDS_TO_DIE * 1000);
    hand_out(&shelf);
    leave(0);
}

/* What the owner has started gives birth to the guard and is over, so that it is nobody's child: a host
 * program that waits for any child of its never hears of it. */
static void orphan(void)
{
    struct pe_said said = {.word = PE_BORN, .fd = -1};
    long pid = SYS(clone, SIGCHLD | CLONE_PIDFD, 0, &said.fd, 0, 0);

    if (pid == 0)
        return;
    if (pid < 0)
        said = (struct pe_said){.word = PE_FAILED, .step = PE_CLONE, .error = (int)-pid, .fd = -1};
    said.pid = (int)pid;
    if (say(OWNER, &said) < 0 && pid > 0)
        SYS(pidfd_send_signal, said.fd, SIGKILL, NULL, 0);
    leave(pid < 0);
}

__attribute__((used, noreturn)) void begin(long *stack)
{
    static char own_stack[64 * 1024] __attribute__((aligned(16)));
    uint64_t all = ~0ULL;

    (void)stack;
    if (SYS(fcntl, OWNER, F_SETFD, FD_CLOEXEC) < 0)
        leave(126); /* no owner: a container has run us, as "#!/proc/self/exe" */
    SYS(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    SYS(prctl, PR_SET_NAME, "pyengine-guard", 0, 0, 0);
    SYS(rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof all);
    SYS(umask, 0077);
    if (SYS(chdir, "/") < 0)
        leave(1);
    orphan();
    SYS(setsid);
    go_on(own_stack + sizeof own_stack, (void (*)(void))guard);
}
