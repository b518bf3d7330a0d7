/* The joiner: a small program that gives birth inside containers that run.
 *
 * A child that moves in with strangers may be traced by them, if they hold
 * CAP_SYS_PTRACE, before it has become their program (CVE-2016-9962).  So it
 * must never hold the host program's memory: it is cloned from this, which
 * holds nothing, is sealed, and is small enough to clone for next to nothing.
 *
 *     engine                    joiner                      child (the engine's, not ours)
 *     request + fds ------->    clone(CLONE_PARENT)    ->   BORN {pid, pidfd}
 *     plan + fds --------------------------------------->   walk the steps, become the program
 *
 * A plan is made while the kernel clones.  Whoever joins those who could trace him has an usher, who joins
 * what is to be joined but the pid namespace, and lets go of all he has, before the child is born inside:
 *
 *                               clone(CLONE_PARENT)    ->   USHER {pid, pidfd}, walks the first steps
 *                                                           PE_ENTER: clone(CLONE_PARENT)    ->   BORN
 *
 * Who shall be root of a user namespace that is there already has an usher too, who enters it: only of
 * somebody in there is a child's pid namespace, and no process comes back from there.
 *
 *                               vfork(CLONE_PARENT)    ->   enters the user namespace
 *                                                           clone(CLONE_PARENT)    ->   BORN {pid, pidfd}
 *                               USHER {pid, pidfd}
 *
 * fd 3 is the engine.  When it is gone, so are we. */
#include "join.h"
#include "lean.h"
#include "start.h"
#include "vfork.h"
#include <sys/socket.h>
#include <sys/mman.h>
#include <linux/close_range.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <limits.h>

enum { HAVE_GROUPS = 1, HAVE_ROOT = 2 }; /* of the users it is given */

enum { ENGINE = 3, MOST_TEXTS = 1 << 17, STACK = 256 * 1024 };

static int own_pid_namespace;
static char *texts[MOST_TEXTS];

static _Noreturn void leave(int code)
{
    for (;;)
        SYS(exit_group, code);
}

/* One message, and the fds that come with it; 0 where there will be none. */
static long receive(int from, struct iovec *what, size_t n_what, int *fds, int *n_fds)
{
    char control[CMSG_SPACE(sizeof(int) * MOST_JOIN_FDS)] __attribute__((aligned(8)));
    struct msghdr message = {
        .msg_iov = what, .msg_iovlen = n_what, .msg_control = control, .msg_controllen = sizeof control};
    long got;

    do
        got = SYS(recvmsg, from, &message, MSG_CMSG_CLOEXEC);
    while (got == -EINTR);
    const struct cmsghdr *header = got > 0 ? CMSG_FIRSTHDR(&message) : NULL;
    *n_fds = 0;
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
        *n_fds = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(fds, CMSG_DATA(header), (size_t)*n_fds * sizeof(int));
    }
    return got;
}

static char **list(char **room, const char *text, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++, text += length(text) + 1)
        *room++ = (char *)(uintptr_t)text;
    *room = NULL;
    return room + 1;
}

/* The joiner's signals are all blocked; a program starts with none. */
static void restore_signals(void)
{
    uint64_t none = 0;

    SYS(rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
}

/* A child on its way, and what it was asked with. */
struct visit {
    struct walker walker; /* first: enter() finds the rest by it */
    const char *plan;
    struct join_plan head;
    int fds[MOST_JOIN_FDS];
};

/* What is the joiner's own is nothing to have near a container, where its child may be already. */
static int leave_joiner(struct visit *visit)
{
    TRY(SYS(close, own_pid_namespace));
    TRY(SYS(dup3, visit->fds[JOIN_REPORT], REPORT_FD, O_CLOEXEC)); /* it was the engine's */
    return (int)SYS(prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
}

/* Where a plan comes to lie that is no larger than most: to map memory would take longer. */
static char room[LARGEST_MESSAGE] __attribute__((aligned(16)));

static int hear_plan(struct visit *visit)
{
    struct iovec what[] = {{&visit->head, sizeof visit->head}, {room, sizeof room}};
    int fds[MOST_JOIN_FDS], n_fds, *next = fds;
    long got = receive(REPORT_FD, what, 2, fds, &n_fds);
    size_t size = visit->head.size;

    if (got <= 0)
        leave(1); /* the engine has given up: nobody listens */
    int is_file = size > sizeof room;
    if (got != (long)(sizeof visit->head + (is_file ? 0 : size)) ||
        n_fds != is_file + 3 + visit->head.n_fds || visit->head.n_fds < 0 ||
        visit->head.n_fds > PE_MAX_FDS + 1)
        return -EBADMSG;
    visit->plan = room;
    if (is_file) {
        long file = *next++;
        long mapped = TRY(SYS(mmap, NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0));
        visit->plan = (const char *)mapped;
        TRY(SYS(close, file));
    }
    memcpy(visit->fds + JOIN_STDIO, next, 3 * sizeof *next);
    memcpy(visit->fds + JOIN_FDS, next + 3, (size_t)visit->head.n_fds * sizeof *next);
    for (int fd = 0; fd < 3; fd++)
        TRY(SYS(dup3, visit->fds[JOIN_STDIO + fd], fd, 0));
    const struct pe_plan *head = (const struct pe_plan *)(const void *)visit->plan;
    return head->n_argv + head->n_envp + 3 > MOST_TEXTS ? -E2BIG : 0;
}

/* Become the program, or the init below which it runs. */
static int execute(const struct pe_plan *head, const char *plan, int init)
{
    char **envp = list(texts + 1, plan + head->argv, head->n_argv);

    list(envp, plan + head->envp, head->n_envp);
    if (init < 0)
        return run_program(texts + 1, envp);
    texts[0] = (char *)(uintptr_t) "init";
    TRY(SYS(fcntl, REPORT_FD, F_SETFD, 0));
    return (int)SYS(execveat, init, "", texts, envp, AT_EMPTY_PATH);
}

/* Be born in the target's pid namespace, which the usher has chosen for his children, by one who stays
 * outside.
 *
 * From its first moment there a process can be traced by whoever has CAP_SYS_PTRACE in that container: had it
 * the host's root still, a descriptor of ours, or one capability more than they have, it would be their way
 * out (CVE-2016-9962).  So the usher has given up all of that before, and called the filter down on himself:
 * this is the older clone(2), which filters can look into and so let pass. */
static int enter(struct walker *walker)
{
    const struct visit *visit = (const struct visit *)(const void *)walker;
    struct pe_said said = {.word = PE_BORN, .fd = -1};

    int last = JOIN_FDS + visit->head.n_fds - visit->head.init; /* the landing is still needed */
    for (int i = 0; i < last; i++)
        SYS(close, visit->fds[i]);
    long pid = TRY(SYS(clone, CLONE_PARENT | CLONE_PIDFD, 0, &said.fd, 0, 0));
    if (pid == 0)
        return 0;
    said.pid = (int)pid;
    if (say(REPORT_FD, &said) < 0) /* nobody would ever know of it */
        SYS(pidfd_send_signal, said.fd, SIGKILL, NULL, 0);
    leave(0);
}

static int become(struct visit *visit, int *step)
{
    TRY(hear_plan(visit));
    visit->walker = new_walker(visit->plan, visit->fds + JOIN_TARGET, REPORT_FD);
    visit->walker.enter = enter;
    TRY(walk(&visit->walker, step));
    *step = PE_EXECUTE;
    int init = visit->head.init ? visit->fds[JOIN_FDS + visit->head.n_fds - 1] : -1;
    return execute((const struct pe_plan *)(const void *)visit->plan, visit->plan, init);
}

static _Noreturn void child_main(const int *fds)
{
    struct pe_said said = {.word = PE_FAILED, .fd = -1};
    struct visit visit = {.fds = {[JOIN_REPORT] = fds[0], [JOIN_TARGET] = fds[1], [JOIN_CGROUP] = fds[2]}};

    restore_signals();
    said.step = PE_ARRANGE;
    said.error = -leave_joiner(&visit);
    int report = said.error ? fds[0] : REPORT_FD;
    if (!said.error)
        said.error = -become(&visit, &said.step);
    SYS(write, report, &said, sizeof said);
    leave(said.error == ENOENT ? 127 : 126);
}

static long clone_child(const struct join_request *request, const int *fds, int *pidfd)
{
    struct clone_args args = {
        .flags = CLONE_PARENT | CLONE_PIDFD | request->unshare,
        .pidfd = (uint64_t)(uintptr_t)pidfd,
    };
    long target = fds[1];

    if (request->into_cgroup) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)fds[2];
    }
    if (!(request->joined & CLONE_NEWPID))
        return SYS(clone3, &args, sizeof args);
    long moved = SYS(setns, target, CLONE_NEWPID);
    if (moved < 0)
        return moved;
    long pid = SYS(clone3, &args, sizeof args);
    if (pid && SYS(setns, own_pid_namespace, CLONE_NEWPID) < 0)
        leave(1); /* never serve the next container from within this one */
    return pid;
}

/* Become root of the user namespace we are in: our own id outside is nobody's there. */
static int be_root_inside(int regroups)
{
    if (regroups)
        TRY(SYS(setgroups, 0, NULL));
    TRY(SYS(setresgid, 0, 0, 0));
    return (int)SYS(setresuid, 0, 0, 0);
}

/* Who asks for an usher, and with what. */
struct ushering {
    const struct join_request *request;
    const int *fds;
};

/* The usher, who has borrowed our memory: nobody is in the user namespace yet who could stop or trace him.
 * He tells of his child himself, for only he has its pidfd. */
static _Noreturn void usher(const void *arg)
{
    const struct ushering *asked = arg;
    struct pe_said said = {.word = PE_BORN, .fd = -1};
    struct clone_args args = {
        .flags = CLONE_PARENT | CLONE_PIDFD | asked->request->unshare,
        .pidfd = (uint64_t)(uintptr_t)&said.fd,
    };
    long pid = SYS(setns, asked->fds[1], CLONE_NEWUSER);

    if (pid == 0)
        pid = be_root_inside(1);
    if (pid == 0) {
        pid = SYS(clone3, &args, sizeof args);
        if (pid == 0)
            child_main(asked->fds);
    }
    if (pid < 0)
        said = (struct pe_said){.word = PE_FAILED, .step = PE_CLONE, .error = (int)-pid, .fd = -1};
    said.pid = pid > 0 ? (int)pid : 0;
    if (say(asked->fds[0], &said) < 0 && pid > 0) /* nobody would ever know of it */
        SYS(pidfd_send_signal, said.fd, SIGKILL, NULL, 0);
    leave(0);
}

static long clone_usher(const struct join_request *request, const int *fds, int *pidfd)
{
    static char stack[STACK] __attribute__((aligned(16)));
    struct ushering asked = {request, fds};
    struct clone_args args = {
        .flags = CLONE_PARENT | CLONE_PIDFD | CLONE_VM | CLONE_VFORK,
        .pidfd = (uint64_t)(uintptr_t)pidfd,
        .stack = (uint64_t)(uintptr_t)stack,
        .stack_size = sizeof stack,
    };

    if (request->into_cgroup) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)fds[2];
    }
    long pid = clone_apart(&args, usher, &asked);
    SYS(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0); /* he has changed his ids, and this with them */
    return pid;
}

static void serve(void)
{
    struct join_request request;
    struct iovec what = {&request, sizeof request};
    struct pe_said said = {.fd = -1};
    int fds[MOST_JOIN_FDS], n_fds;
    long got = receive(ENGINE, &what, 1, fds, &n_fds);

    if (got != sizeof request || n_fds != 3)
        leave(got != 0);
    long pid = request.in_users ? clone_usher(&request, fds, &said.fd) : clone_child(&request, fds, &said.fd);
    if (pid == 0)
        child_main(fds);
    said.word = request.in_users || request.ushered ? PE_USHER : PE_BORN;
    if (pid < 0)
        said = (struct pe_said){.word = PE_FAILED, .step = PE_CLONE, .error = (int)-pid, .fd = -1};
    said.pid = (int)pid;
    if (say(fds[0], &said) < 0 && pid > 0) /* nobody would ever know of it */
        SYS(pidfd_send_signal, said.fd, SIGKILL, NULL, 0);
    SYS(close_range, own_pid_namespace + 1, ~0U, 0); /* all that came, and what was opened since */
}

/* How much the host program is worth to the OOM killer says nothing of its containers: who shall be spared
 * as it is would fill the memory with impunity.  Where the kernel refuses, they are killed rather sooner. */
static void be_worth_nothing_special(void)
{
    int score = (int)SYS(openat, AT_FDCWD, "/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

    if (score >= 0)
        SYS(write, score, "0", 1);
    close_fd(&score);
}

/* Become root of a user namespace whose ids the engine maps: only who is outside can map more than one, and
 * only now can anybody write there, for what is not dumpable belongs to the host's root. */
static int have_own_users(void)
{
    struct pe_said said = {.word = PE_WAITS, .pid = (int)SYS(getpid), .fd = -1};
    char users;

    TRY(SYS(unshare, CLONE_NEWUSER));
    TRY(say(ENGINE, &said));
    if (SYS(read, ENGINE, &users, 1) != 1)
        leave(1); /* the engine has given up */
    /* where nobody is root inside, who has made the namespace may do all in it nevertheless */
    return users & HAVE_ROOT ? be_root_inside(users & HAVE_GROUPS) : 0;
}

static void begin_with_own_users(void)
{
    struct pe_said said = {.word = PE_FAILED, .step = PE_CLONE, .fd = -1, .error = -have_own_users()};

    if (!said.error)
        return;
    say(ENGINE, &said);
    leave(1);
}

static uint64_t bounds; /* what of its capabilities it leaves its children at most */

static _Noreturn void serve_all(void)
{
    be_lean(); /* from here on there are no arguments any more, and no first stack */
    if (drop_bounds(bounds) < 0)
        leave(1);
    own_pid_namespace = (int)SYS(openat, AT_FDCWD, "/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    if (own_pid_namespace < 0)
        leave(1);
    for (;;)
        serve();
}

__attribute__((used, noreturn)) void begin(long *stack)
{
    static char own_stack[STACK] __attribute__((aligned(16)));
    uint64_t all = ~0ULL;

    if (SYS(fcntl, ENGINE, F_SETFD, FD_CLOEXEC) < 0)
        leave(126);             /* no engine: a container has run us, as "#!/proc/self/exe" */
    be_worth_nothing_special(); /* while that file is ours: of who is not dumpable it is root's */
    if (stack[0] > 2)
        begin_with_own_users();
    SYS(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    SYS(prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    SYS(rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof all);
    SYS(setsid);
    SYS(umask, 0022);
    if (SYS(chdir, "/") < 0)
        leave(1);
    bounds = stack[0] > 1 ? hexadecimal((const char *)stack[2]) : ~0ULL;
    go_on(own_stack + sizeof own_stack, (void (*)(void))serve_all);
}
