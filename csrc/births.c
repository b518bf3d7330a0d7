/* What others must not get of a birth under way: our memory, and the end that tells.
 *
 * While a child borrows our memory, whoever may trace the child may read that
 * memory.  In its last moments it has no more rights than its container, so a
 * neighbour with as many, and a view of the host's processes, could.  So we
 * are not dumpable meanwhile, which keeps them out (ptrace(2)); and a child
 * that crashes writes no core of us.
 *
 * A report ends when nobody holds its `tell` any more.  A fork of the host
 * program would hold it for as long as it lives, so there it is closed. */
#include "births.h"
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static struct report *first;
static int births, dumpable;

static void before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void in_parent(void)
{
    pthread_mutex_unlock(&lock);
}

static void in_child(void)
{
    for (; first; first = first->next)
        close(first->tell);
    if (births && dumpable == 1)
        prctl(PR_SET_DUMPABLE, 1);
    births = 0;
    pthread_mutex_init(&lock, NULL);
}

static void watch_forks(void)
{
    pthread_atfork(before_fork, in_parent, in_child);
}

int open_report(struct report *report)
{
    int ends[2];

    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&lock);
    int opened = (int)SYS(socketpair, AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
    if (opened == 0) {
        *report = (struct report){.hear = ends[0], .tell = ends[1], .next = first};
        first = report;
    }
    pthread_mutex_unlock(&lock);
    return opened;
}

void close_tell(struct report *report)
{
    struct report **link = &first;

    pthread_mutex_lock(&lock);
    while (*link && *link != report)
        link = &(*link)->next;
    if (*link)
        *link = report->next;
    close_fd(&report->tell);
    pthread_mutex_unlock(&lock);
}

/* The flag is the memory's, so the births of all threads share it. */
void begin_birth(void)
{
    pthread_once(&once, watch_forks);
    pthread_mutex_lock(&lock);
    if (births++ == 0 && (dumpable = prctl(PR_GET_DUMPABLE)) == 1)
        prctl(PR_SET_DUMPABLE, 0);
    pthread_mutex_unlock(&lock);
}

void end_birth(void)
{
    pthread_mutex_lock(&lock);
    if (--births == 0 && dumpable == 1)
        prctl(PR_SET_DUMPABLE, 1);
    pthread_mutex_unlock(&lock);
}
