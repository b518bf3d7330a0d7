/* The joiner: a small program that gives birth inside containers that run.
 *
 * A child that moves in with strangers may be traced by them, if they hold
 * CAP_SYS_PTRACE, before it has become their program (CVE-2016-9962).  So it
 * must never hold the host program's memory: it is cloned from this, which
 * holds nothing, is sealed, and is small enough to clone for next to nothing.
 *
 *     engine                    joiner                      child (the engine's, not ours)
 *     request + fds + plan ->   clone(CLONE_PARENT)    ->   BORN {pid, pidfd}
 *                                                           walk the steps, become the program
 *
 * Whoever joins has an usher, who joins what is to be joined but the pid
 * namespace, and lets go of all he has, before the child is born inside:
 *
 *                               clone(CLONE_PARENT)    ->   USHER {pid, pidfd}, walks the first steps
 *                                                           PE_ENTER: clone(CLONE_PARENT)    ->   BORN
 *
 * fd 3 is the engine.  When it is gone, so are we. */
#include "join.h"
#include "start.h"
#include <sys/socket.h>
#include <sys/mman.h>
#include <linux/close_range.h>
#include <linux/prctl.h>
#include <linux/sched.h>
#include <limits.h>

enum { ENGINE = 3, MOST_TEXTS = 1 << 17 };

static int own_pid_namespace;
static char *texts[MOST_TEXTS];

static _Noreturn void leave(int code)
{
    for (;;)
        SYS(exit_group, code);
}

/* Read exactly n bytes; the fds come with the first of them. */
static int receive(void *to, size_t n, int *fds, int *n_fds)
{
    char control[CMSG_SPACE(sizeof(int) * MOST_JOIN_FDS)] __attribute__((aligned(8)));
    char *next = to;

    while (n) {
        struct iovec what = {.iov_base = next, .iov_len = n};
        struct msghdr message = {.msg_iov = &what, .msg_iovlen = 1};
        if (fds) {
            message.msg_control = control;
            message.msg_controllen = sizeof control;
        }
        long got = SYS(recvmsg, ENGINE, &message, MSG_CMSG_CLOEXEC);
        if (got == -EINTR)
            continue;
        if (got <= 0)
            return -EPIPE;
        const struct cmsghdr *header = fds ? CMSG_FIRSTHDR(&message) : NULL;
        if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
            *n_fds = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
            memcpy(fds, CMSG_DATA(header), (size_t)*n_fds * sizeof(int));
            fds = NULL;
        }
        next += got;
        n -= (size_t)got;
    }
    return 0;
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

static int arrange_fds(const int *fds)
{
    TRY(SYS(close, own_pid_namespace)); /* the host's: nothing to have near a container */
    for (int fd = 0; fd < 3; fd++)
        TRY(SYS(dup3, fds[JOIN_STDIO + fd], fd, 0));
    TRY(SYS(dup3, fds[JOIN_REPORT], REPORT_FD, O_CLOEXEC));
    return 0;
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

/* A child on its way, and what it was asked with. */
struct visit {
    struct walker walker; /* first: enter() finds the rest by it */
    const struct join_request *request;
    const int *fds;
};

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

    for (int i = 0; i < visit->request->n_fds - visit->request->init; i++) /* the landing is still needed */
        SYS(close, visit->fds[i]);
    long pid = TRY(SYS(clone, CLONE_PARENT | CLONE_PIDFD, 0, &said.fd, 0, 0));
    if (pid == 0)
        return 0;
    said.pid = (int)pid;
    if (say(REPORT_FD, &said) < 0) /* nobody would ever know of it */
        SYS(pidfd_send_signal, said.fd, SIGKILL, NULL, 0);
    leave(0);
}

static int has_usher(const char *plan)
{
    const struct pe_plan *head = (const struct pe_plan *)(const void *)plan;
    const struct pe_step *steps = (const struct pe_step *)(const void *)(plan + head->steps);

    for (uint32_t i = 0; i < head->n_steps; i++)
        if (steps[i].op == PE_ENTER)
            return 1;
    return 0;
}

static _Noreturn void child_main(const struct join_request *request, const char *plan, const int *fds)
{
    const struct pe_plan *head = (const struct pe_plan *)(const void *)plan;
    struct pe_said said = {.word = PE_FAILED, .step = PE_ARRANGE, .fd = -1};
    struct visit visit = {new_walker(plan, fds + JOIN_TARGET, REPORT_FD), request, fds};
    int report = fds[JOIN_REPORT];

    visit.walker.enter = enter;
    restore_signals();
    said.error = head->n_argv + head->n_envp + 3 > MOST_TEXTS ? E2BIG : -arrange_fds(fds);
    if (!said.error) {
        report = REPORT_FD;
        said.error = -walk(&visit.walker, &said.step);
    }
    if (!said.error) {
        said.step = PE_EXECUTE;
        said.error = -execute(head, plan, request->init ? fds[request->n_fds - 1] : -1);
    }
    SYS(write, report, &said, sizeof said);
    leave(said.error == ENOENT ? 127 : 126);
}

static long clone_child(const struct join_request *request, const int *fds, int *pidfd)
{
    struct clone_args args = {
        .flags = CLONE_PARENT | CLONE_PIDFD | request->unshare,
        .pidfd = (uint64_t)(uintptr_t)pidfd,
    };
    long target = fds[JOIN_TARGET];

    if (request->into_cgroup) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)fds[JOIN_CGROUP];
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

static void answer(const struct join_request *request, const char *plan, const int *fds)
{
    struct pe_said said = {.word = has_usher(plan) ? PE_USHER : PE_BORN, .fd = -1};
    long pid = clone_child(request, fds, &said.fd);

    if (pid == 0)
        child_main(request, plan, fds);
    if (pid < 0)
        said = (struct pe_said){.word = PE_FAILED, .step = PE_CLONE, .error = (int)-pid, .fd = -1};
    said.pid = (int)pid;
    if (say(fds[JOIN_REPORT], &said) < 0 && pid > 0) /* nobody would ever know of it */
        SYS(pidfd_send_signal, said.fd, SIGKILL, NULL, 0);
}

static void serve(void)
{
    struct join_request request;
    int fds[MOST_JOIN_FDS], n_fds = 0;

    if (receive(&request, sizeof request, fds, &n_fds) < 0 || n_fds != request.n_fds)
        leave(0);
    if (request.size > LARGEST_PLAN)
        leave(1);
    long plan = SYS(mmap, NULL, request.size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (plan < 0 && plan > -4096)
        leave(1);
    if (receive((void *)plan, request.size, NULL, NULL) < 0)
        leave(0);
    answer(&request, (const char *)plan, fds);
    SYS(munmap, plan, request.size);
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

__attribute__((used, noreturn)) void begin(long *stack)
{
    uint64_t all = ~0ULL;

    (void)stack;
    if (SYS(fcntl, ENGINE, F_SETFD, FD_CLOEXEC) < 0)
        leave(126); /* no engine: a container has run us, as "#!/proc/self/exe" */
    SYS(prctl, PR_SET_DUMPABLE, 0, 0, 0, 0);
    SYS(prctl, PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
    SYS(rt_sigprocmask, SIG_SETMASK, &all, NULL, sizeof all);
    SYS(setsid);
    SYS(umask, 0022);
    if (SYS(chdir, "/") < 0)
        leave(1);
    be_worth_nothing_special();
    own_pid_namespace = (int)SYS(openat, AT_FDCWD, "/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);
    if (own_pid_namespace < 0)
        leave(1);
    for (;;)
        serve();
}
