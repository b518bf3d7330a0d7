/* What a child tells its engine: one message a word, an fd with it where there is one. */
#include "internal.h"
#include <sys/socket.h>

int say(int report, const struct pe_said *said)
{
    struct iovec what = {.iov_base = (void *)(uintptr_t)said, .iov_len = sizeof *said};
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int))];
    } with = {
        .header = {.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS}};
    struct msghdr message = {.msg_iov = &what, .msg_iovlen = 1};

    if (said->fd >= 0) {
        *(int *)(void *)CMSG_DATA(&with.header) = said->fd;
        message.msg_control = &with;
        message.msg_controllen = sizeof with;
    }
    return (int)SYS(sendmsg, report, &message, MSG_NOSIGNAL);
}
