/* Asking the joiner for a child inside a running container; the other end is joiner.c. */
#include "join.h"
#include "births.h"
#include <sys/mman.h>
#include <sys/socket.h>

/* One message, whole, with its fds. */
static int send_message(int to, struct iovec *what, size_t n_what, const int *fds, int n_fds)
{
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int) * MOST_JOIN_FDS)];
    } with = {.header = {
                  .cmsg_len = CMSG_LEN(sizeof(int) * (size_t)n_fds),
                  .cmsg_level = SOL_SOCKET,
                  .cmsg_type = SCM_RIGHTS,
              }};
    struct msghdr message = {
        .msg_iov = what,
        .msg_iovlen = n_what,
        .msg_control = &with,
        .msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n_fds),
    };
    long sent;

    __builtin_memcpy(CMSG_DATA(&with.header), fds, sizeof(int) * (size_t)n_fds);
    do
        sent = SYS(sendmsg, to, &message, MSG_NOSIGNAL);
    while (sent == -EINTR);
    return sent < 0 ? (int)sent : 0;
}

static int file_of(const char *plan, size_t size)
{
    int file = (int)TRY(SYS(memfd_create, "pyengine-plan", MFD_CLOEXEC));

    for (size_t done = 0; done < size;) {
        long n = SYS(write, file, plan + done, size - done);
        if (n < 0) {
            close_fd(&file);
            return (int)n;
        }
        done += (size_t)n;
    }
    return file;
}

/* Who is dead already has said why, or its joiner has: that is heard by who listens to its report. */
int pe_instruct(int report, const char *plan, size_t size, const struct pe_birth *birth)
{
    struct join_plan head = {
        .size = (uint32_t)size, .n_fds = birth->n_fds + !!birth->init, .init = birth->init};
    struct iovec what[2] = {
        {.iov_base = &head, .iov_len = sizeof head},
        {.iov_base = (void *)(uintptr_t)plan, .iov_len = size},
    };
    OWNED_FD file = -1;
    int fds[MOST_JOIN_FDS], n = 0;

    if (size < sizeof(struct pe_plan) || size > LARGEST_PLAN || birth->n_fds > PE_MAX_FDS)
        return -E2BIG;
    if (size > LARGEST_MESSAGE) {
        fds[n++] = file = (int)TRY(file_of(plan, size));
        what[1].iov_len = 0;
    }
    for (int fd = 0; fd < 3; fd++)
        fds[n++] = birth->stdio[fd];
    for (int i = 0; i < birth->n_fds; i++)
        fds[n++] = birth->fds[i];
    if (birth->init)
        fds[n++] = birth->program;
    int sent = send_message(report, what, 2, fds, n);
    return sent == -EPIPE || sent == -ECONNRESET ? 0 : sent;
}

/* Ask for a child who tells and is told at the other end of *report*. */
static int ask(int joiner, const struct pe_birth *birth, int target, struct join_request request, int report)
{
    struct iovec what = {.iov_base = &request, .iov_len = sizeof request};
    int fds[] = {report, target >= 0 ? target : report, birth->cgroup >= 0 ? birth->cgroup : report};

    request.unshare = birth->unshare;
    request.into_cgroup = birth->cgroup >= 0;
    return send_message(joiner, &what, 1, fds, 3);
}

static int close_report(struct report *ours, int answer, int *report)
{
    close_tell(ours);
    if (answer < 0)
        close_fd(&ours->hear);
    *report = ours->hear;
    return answer;
}

int pe_conceive(int joiner, const struct pe_birth *birth, int users, int more, int *report)
{
    struct report ours;

    TRY(open_report(&ours));
    struct join_request request = {.in_users = users >= 0};
    int answer = close_report(&ours, ask(joiner, birth, users, request, ours.tell), report);
    if (!more)
        SYS(sched_yield); /* a message wakes its reader up on our own processor, where it would wait for us */
    return answer;
}

/* Whether another child brings it into its pid namespace. */
static int has_usher(const char *plan)
{
    const struct pe_plan *head = (const struct pe_plan *)(const void *)plan;
    const struct pe_step *steps = (const struct pe_step *)(const void *)(plan + head->steps);

    for (uint32_t i = 0; i < head->n_steps; i++)
        if (steps[i].op == PE_ENTER)
            return 1;
    return 0;
}

/* The plan is there before the child is: it need not wait for it. */
int pe_join(int joiner, const char *plan, size_t size, const struct pe_birth *birth, int target,
            uint64_t joined, int *report)
{
    struct report ours;

    TRY(open_report(&ours));
    struct join_request request = {.joined = joined, .ushered = has_usher(plan)};
    int answer = pe_instruct(ours.hear, plan, size, birth);
    if (answer == 0)
        answer = ask(joiner, birth, target, request, ours.tell);
    return close_report(&ours, answer, report);
}

int pe_abandon(int report)
{
    return (int)SYS(shutdown, report, SHUT_WR);
}
