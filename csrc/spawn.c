/* Cloning a child and walking it through a plan.
 *
 *     caller            spawner thread                 child
 *     ------            --------------                 -----
 *     pe_begin_spawn -> clone, then sleeps (VFORK) --> arrange fds, walk the steps
 *     (other work)      wakes              <---------- exec the landing
 *     pe_end_spawn <--- pid, pidfd                     become the program
 *     pe_hear   <------------------------------------- FAILED {step, error}, or the
 *                                                      report closes: it runs
 */
#include "births.h"
#include "spawner.h"
#include "vfork.h"
#include <stdio.h>
#include <stdlib.h>
#include <linux/close_range.h>
#include <linux/sched.h>
#include <linux/wait.h>
#include <sys/resource.h>
#include <sys/socket.h>

struct birth {
    const char *plan;
    const struct pe_birth *wanted;
    char **argv, **envp;
    int report;
    int pidfd;
    uint64_t unshare;
};

int pe_abi(void)
{
    return PE_ABI;
}

/* Out of the way of 0 to 3, so that a birth may name any fds in any order. */
static int lift(int fd)
{
    return fd > REPORT_FD ? fd : (int)SYS(fcntl, fd, F_DUPFD_CLOEXEC, ABOVE_REPORT);
}

static int arrange_fds(const struct pe_birth *wanted, int report, int *fds, int *program)
{
    int lifted[4] = {[REPORT_FD] = report};

    for (int i = 0; i < wanted->n_fds; i++)
        fds[i] = (int)TRY(lift(wanted->fds[i]));
    *program = (int)TRY(lift(wanted->program));
    for (int fd = 0; fd < 3; fd++)
        lifted[fd] = (int)TRY(lift(wanted->stdio[fd]));
    for (int fd = 0; fd < 4; fd++)
        TRY(SYS(dup3, lifted[fd], fd, 0));
    return (int)SYS(close_range, ABOVE_REPORT, ~0U, CLOSE_RANGE_CLOEXEC);
}

/* CLONE_CLEAR_SIGHAND has reset what the host program handles; what it ignores stays ignored until we say so.
 */
static void restore_signals(void)
{
    struct {
        void *handler;
        unsigned long flags;
        void *restorer;
        uint64_t mask;
    } dfl = {0};
    uint64_t none = 0;

    for (int sig = 1; sig <= 64; sig++)
        SYS(rt_sigaction, sig, &dfl, NULL, sizeof none); /* SIGKILL and SIGSTOP refuse, rightly */
    SYS(rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof none);
}

__attribute__((no_sanitize("address"))) static void child_main(const void *arg)
{
    const struct birth *birth = arg;
    struct pe_said said = {.word = PE_FAILED, .step = PE_ARRANGE, .fd = -1};
    int fds[PE_MAX_FDS], program = -1, report = lift(birth->report);

    restore_signals();
    struct walker walker = new_walker(birth->plan, fds, REPORT_FD);
    said.error = report < 0 ? -report : -arrange_fds(birth->wanted, report, fds, &program);
    if (!said.error)
        said.error = -walk(&walker, &said.step);
    if (!said.error) {
        said.step = PE_EXECUTE;
        said.error = -(int)SYS(execveat, program, "", birth->argv, birth->envp, AT_EMPTY_PATH);
    }
    SYS(write, report < 0 ? birth->report : report, &said, sizeof said);
    for (;;)
        SYS(exit_group, 127);
}

static int give_birth(void *arg, char *stack_top)
{
    struct birth *birth = arg;
    struct clone_args args = {
        .flags = CLONE_VM | CLONE_VFORK | CLONE_PIDFD | CLONE_CLEAR_SIGHAND | birth->unshare,
        .pidfd = (uint64_t)(uintptr_t)&birth->pidfd,
        .exit_signal = SIGCHLD,
        .stack = (uint64_t)(uintptr_t)stack_top - BIRTH_STACK,
        .stack_size = BIRTH_STACK,
    };

    if (birth->wanted->cgroup >= 0) {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = (uint64_t)birth->wanted->cgroup;
    }
    begin_birth();
    int pid = (int)clone_apart(&args, child_main, birth);
    end_birth();
    return pid;
}

/* Pointers to n texts that stand one after the other. */
static char **list_texts(char **list, const char *text, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++, text += length(text) + 1)
        *list++ = (char *)(uintptr_t)text;
    *list = NULL;
    return list + 1;
}

/* A birth under way: everything the child borrows until it is over. */
struct pe_pending {
    struct pe_birth wanted;
    struct birth birth;
    struct report report;
    struct job job;
    char *lists[]; /* argv and envp */
};

int pe_begin_spawn(const char *plan, size_t size, const struct pe_birth *wanted, struct pe_pending **pending)
{
    const struct pe_plan *head = (const struct pe_plan *)(const void *)plan;

    if (size < sizeof *head || head->size != size || head->abi != PE_ABI)
        return -EINVAL;
    size_t n_lists = (size_t)head->n_argv + head->n_envp + 3;
    struct pe_pending *made = calloc(1, sizeof *made + n_lists * sizeof *made->lists);
    if (!made)
        return -ENOMEM;
    made->wanted = *wanted;
    made->lists[0] = (char *)(uintptr_t)(wanted->init ? "init" : "run");
    made->birth = (struct birth){
        .plan = plan, .wanted = &made->wanted, .argv = made->lists, .unshare = wanted->unshare};
    made->birth.envp = list_texts(made->lists + 1, plan + head->argv, head->n_argv);
    list_texts(made->birth.envp, plan + head->envp, head->n_envp);
    made->job = (struct job){.work = give_birth, .arg = &made->birth};
    int answer = open_report(&made->report);
    if (answer < 0) {
        free(made);
        return answer;
    }
    made->birth.report = made->report.tell;
    answer = begin_job(&made->job);
    if (answer < 0) {
        close_tell(&made->report);
        close_fd(&made->report.hear);
        free(made);
        return answer;
    }
    *pending = made;
    return 0;
}

int pe_end_spawn(struct pe_pending *pending, struct pe_child *child)
{
    int pid = end_job(&pending->job);

    close_tell(&pending->report);
    if (pid < 0)
        close_fd(&pending->report.hear);
    else
        *child = (struct pe_child){.pid = pid, .pidfd = pending->birth.pidfd, .report = pending->report.hear};
    free(pending);
    return pid < 0 ? pid : 0;
}

int pe_start_joiner(int program, int report, uint64_t bounds, int own_users, struct pe_child *child)
{
    struct pe_plan nothing = {.abi = PE_ABI, .size = sizeof nothing};
    struct pe_birth wanted = {.program = program, .cgroup = -1};
    char *users = own_users ? (char *)(uintptr_t) "own-users" : NULL;
    char kept[17], *argv[] = {(char *)(uintptr_t) "pyengine-joiner", kept, users, NULL}, *envp[] = {NULL};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct birth birth = {.plan = (const char *)&nothing, .wanted = &wanted, .argv = argv, .envp = envp};

    if (null < 0)
        return -errno;
    snprintf(kept, sizeof kept, "%016llx", (unsigned long long)bounds);
    wanted.stdio[0] = wanted.stdio[1] = wanted.stdio[2] = null;
    birth.report = report;
    int pid = on_spawner(give_birth, &birth);
    close(null);
    if (pid < 0)
        return pid;
    *child = (struct pe_child){.pid = pid, .pidfd = birth.pidfd, .report = -1};
    return 0;
}

/* One word from a child; once it says no more, it runs. */
int pe_hear(int report, struct pe_said *said)
{
    struct iovec what = {.iov_base = said, .iov_len = sizeof *said};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } with;
    struct msghdr message = {
        .msg_iov = &what,
        .msg_iovlen = 1,
        .msg_control = &with,
        .msg_controllen = CMSG_LEN(sizeof(int)), /* room for one fd, however many are sent */
    };
    long n;

    do /* reset, by who has closed it with a plan in it that nobody has read: what he has said is still there
        */
        n = SYS(recvmsg, report, &message, MSG_CMSG_CLOEXEC);
    while (n == -EINTR || n == -ECONNRESET);
    if (n < 0)
        return (int)n;
    if (n == 0) {
        *said = (struct pe_said){.word = PE_RUNNING, .fd = -1};
        return 0;
    }
    const struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    said->fd = header && header->cmsg_type == SCM_RIGHTS ? *(const int *)(const void *)CMSG_DATA(header) : -1;
    if (n == sizeof *said)
        return 0;
    close_fd(&said->fd);
    return -EBADMSG;
}

/* Wait by pidfd, so that pids may be reused meanwhile; with what it has used, for which Python has no call.
 */
int pe_wait(int pidfd, int options, struct pe_end *end)
{
    struct rusage usage = {0};
    siginfo_t info = {0};
    long waited;

    do
        waited = SYS(waitid, P_PIDFD, pidfd, &info, WEXITED | options, &usage);
    while (waited == -EINTR);
    if (waited < 0)
        return (int)waited;
    *end = (struct pe_end){
        .pid = info.si_pid,
        .code = info.si_code,
        .status = info.si_status,
        .user_us = usage.ru_utime.tv_sec * 1000000LL + usage.ru_utime.tv_usec,
        .system_us = usage.ru_stime.tv_sec * 1000000LL + usage.ru_stime.tv_usec,
        .peak_kib = usage.ru_maxrss,
    };
    return info.si_pid ? 1 : 0;
}
