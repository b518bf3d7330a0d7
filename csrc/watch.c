/* inotify(7), for which Python has no call. */
#include "internal.h"
#include <sys/inotify.h>

int pe_watcher(void)
{
    return (int)SYS(inotify_init1, IN_CLOEXEC | IN_NONBLOCK);
}

int pe_watch(int watcher, const char *path, unsigned events)
{
    return (int)SYS(inotify_add_watch, watcher, path, events);
}

int pe_unwatch(int watcher, int watch)
{
    return (int)SYS(inotify_rm_watch, watcher, watch);
}
