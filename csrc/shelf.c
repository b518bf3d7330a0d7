/* Descriptors that outlive their owner: a terminal's master, a pipe's ends, a pidfd that knows how it ended.
 *
 *     the next owner                           the guard of the dead one
 *     TAKE {key}  ------------------------->
 *                <--------------------------   the same word, and the fd, if there is one
 *     its own guard keeps it, then
 *     UNKEEP {key}  ----------------------->   close it
 *     BYE  -------------------------------->   close them all
 *
 * What was given is kept until that is said, so who dies in between loses nothing. */
#include "shelf.h"
#include <poll.h>
#include <sys/socket.h>
#include <time.h>

enum { SECONDS_TO_ASK = 10 };

int is_for_shelf(uint32_t op)
{
    return op == PE_GUARD_DOOR || op == PE_GUARD_KEEP || op == PE_GUARD_UNKEEP;
}

static struct kept *find(struct shelf *shelf, uint64_t key)
{
    for (int i = 0; i < shelf->n_kept; i++)
        if (shelf->kept[i].key == key)
            return &shelf->kept[i];
    return NULL;
}

static int is_empty(const struct shelf *shelf)
{
    for (int i = 0; i < shelf->n_kept; i++)
        if (shelf->kept[i].key)
            return 0;
    return 1;
}

static int keep(struct shelf *shelf, uint64_t key, int fd)
{
    struct kept *free = find(shelf, 0);

    if (!key || find(shelf, key))
        return -EINVAL;
    if (!free && shelf->n_kept == MOST_KEPT)
        return -ENOSPC;
    free = free ? free : &shelf->kept[shelf->n_kept++];
    *free = (struct kept){key, fd};
    return 0;
}

static int unkeep(struct shelf *shelf, uint64_t key)
{
    struct kept *kept = key ? find(shelf, key) : NULL;

    if (!kept)
        return -ENOENT;
    close_fd(&kept->fd);
    kept->key = 0;
    return 0;
}

static int open_door(struct shelf *shelf, const struct pe_guard_word *word, const int *fds)
{
    if (shelf->door >= 0 || !word->size || word->size >= DOOR_NAME)
        return -EINVAL;
    shelf->door = fds[0];
    shelf->directory = fds[1];
    for (uint32_t i = 0; i < word->size; i++)
        shelf->name[i] = word->text[i];
    return 0;
}

static int take(struct shelf *shelf, const struct pe_guard_word *word, const int *fds, int n_fds)
{
    switch (word->op) {
    case PE_GUARD_DOOR:
        return n_fds == 2 ? open_door(shelf, word, fds) : -EINVAL;
    case PE_GUARD_KEEP:
        return n_fds == 1 ? keep(shelf, word->key, fds[0]) : -EINVAL;
    case PE_GUARD_UNKEEP:
        return n_fds == 0 ? unkeep(shelf, word->key) : -EINVAL;
    default:
        return -EINVAL;
    }
}

int stow(struct shelf *shelf, const struct pe_guard_word *word, const int *fds, int n_fds)
{
    int taken = take(shelf, word, fds, n_fds);

    for (int i = 0; taken < 0 && i < n_fds; i++)
        SYS(close, fds[i]);
    return taken;
}

/* --- the owner is dead --- */

static int is_one_of_us(int line)
{
    struct ucred peer;
    socklen_t size = sizeof peer;

    if (SYS(getsockopt, line, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0)
        return 0;
    return peer.uid == 0 || peer.uid == (uid_t)SYS(geteuid);
}

static int give(int line, struct pe_guard_word *word, const struct kept *kept)
{
    char control[CMSG_SPACE(sizeof(int))] __attribute__((aligned(8))) = {0};
    struct iovec what = {word, sizeof *word};
    struct msghdr message = {.msg_iov = &what, .msg_iovlen = 1};

    if (kept) {
        message.msg_control = control;
        message.msg_controllen = sizeof control;
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        *header = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
        *(int *)(void *)CMSG_DATA(header) = kept->fd;
    } else {
        word->op = 0;
    }
    return SYS(sendmsg, line, &message, MSG_NOSIGNAL) == sizeof *word;
}

static void drop_all(struct shelf *shelf)
{
    for (int i = 0; i < shelf->n_kept; i++)
        if (shelf->kept[i].key)
            unkeep(shelf, shelf->kept[i].key);
}

/* One word: whether there may be more. */
static int answer(struct shelf *shelf, int line)
{
    struct pe_guard_word word;
    struct pollfd said = {.fd = line, .events = POLLIN};
    struct timespec patience = {.tv_sec = SECONDS_TO_ASK};

    if (SYS(ppoll, &said, 1, &patience, NULL, 0) <= 0)
        return 0;
    if (SYS(recvfrom, line, &word, sizeof word, MSG_DONTWAIT, NULL, NULL) != sizeof word)
        return 0;
    switch (word.op) {
    case PE_GUARD_TAKE:
        return give(line, &word, word.key ? find(shelf, word.key) : NULL);
    case PE_GUARD_UNKEEP:
        unkeep(shelf, word.key);
        return 1;
    case PE_GUARD_BYE:
        drop_all(shelf);
        return 0;
    default:
        return 0;
    }
}

void hand_out(struct shelf *shelf)
{
    while (shelf->door >= 0 && !is_empty(shelf)) {
        struct pollfd knock = {.fd = shelf->door, .events = POLLIN};
        struct timespec pause = {.tv_nsec = 100000000};
        SYS(ppoll, &knock, 1, NULL, NULL, 0);
        OWNED_FD line = (int)SYS(accept4, shelf->door, NULL, NULL, SOCK_CLOEXEC);
        if (line < 0) { /* he has left, or there is no room for him now */
            SYS(ppoll, NULL, 0, &pause, NULL, 0);
            continue;
        }
        while (is_one_of_us(line) && answer(shelf, line))
            continue;
    }
    if (shelf->door >= 0)
        SYS(unlinkat, shelf->directory, shelf->name, 0);
}
