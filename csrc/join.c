/* Asking the joiner for a child inside a running container; the other end is joiner.c. */
#include "join.h"
#include "births.h"
#include <sys/socket.h>

/* Send all of it; the fds go with its first byte. */
static int send_all(int joiner, const struct join_request *request, const int *fds, int n_fds,
                    const char *plan)
{
    struct iovec what[2] = {
        {.iov_base = (void *)(uintptr_t)request, .iov_len = sizeof *request},
        {.iov_base = (void *)(uintptr_t)plan, .iov_len = request->size},
    };
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
        .msg_iovlen = 2,
        .msg_control = &with,
        .msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)n_fds),
    };

    __builtin_memcpy(CMSG_DATA(&with.header), fds, sizeof(int) * (size_t)n_fds);
    while (what[0].iov_len || what[1].iov_len) {
        ssize_t n = sendmsg(joiner, &message, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -errno;
        message.msg_control = NULL;
        message.msg_controllen = 0;
        for (int i = 0; i < 2; i++) {
            size_t sent = (size_t)n < what[i].iov_len ? (size_t)n : what[i].iov_len;
            what[i].iov_base = (char *)what[i].iov_base + sent;
            what[i].iov_len -= sent;
            n -= (ssize_t)sent;
        }
    }
    return 0;
}

/* The caller lets only one thread in at a time. */
int pe_join(int joiner, const char *plan, size_t size, const struct pe_birth *birth, int target,
            uint64_t joined, int *report)
{
    struct join_request request = {
        .size = (uint32_t)size, .init = birth->init, .unshare = birth->unshare, .joined = joined};
    struct report ours;
    int fds[MOST_JOIN_FDS], n = 0;

    if (size < sizeof(struct pe_plan) || size > LARGEST_PLAN || birth->n_fds + JOIN_FDS + 1 > MOST_JOIN_FDS)
        return -E2BIG;
    TRY(open_report(&ours));
    fds[n++] = ours.tell;
    for (int fd = 0; fd < 3; fd++)
        fds[n++] = birth->stdio[fd];
    fds[n++] = target >= 0 ? target : ours.tell;
    request.into_cgroup = birth->cgroup >= 0;
    fds[n++] = request.into_cgroup ? birth->cgroup : ours.tell;
    for (int i = 0; i < birth->n_fds; i++)
        fds[n++] = birth->fds[i];
    if (birth->init)
        fds[n++] = birth->program;
    request.n_fds = n;
    int sent = send_all(joiner, &request, fds, n, plan);
    close_tell(&ours);
    if (sent < 0)
        close_fd(&ours.hear);
    *report = ours.hear;
    return sent;
}
