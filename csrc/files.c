/* File work that Python has no call for, or would be slow at. */
#include "remove.h"
#include <stdlib.h>

#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20
#endif

int pe_openat2(int dirfd, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve_flags)
{
    struct open_how how = {.flags = flags | O_CLOEXEC, .mode = mode, .resolve = resolve_flags};

    return open_patiently(dirfd, path, &how);
}

/* Everything in a sealed memfd stays as it is, whoever gets hold of it.  1: so does its mode, which before
 * Linux 6.3 a container that finds it as /proc/1/exe can change, so that nobody may execute it again. */
int pe_seal(int fd)
{
    int seals = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
    int sealed = (int)SYS(fcntl, fd, F_ADD_SEALS, seals | F_SEAL_EXEC);

    if (sealed == -EINVAL)
        return (int)SYS(fcntl, fd, F_ADD_SEALS, seals);
    return sealed < 0 ? sealed : 1;
}

int pe_sync_file_system(int fd)
{
    return (int)SYS(syncfs, fd);
}

/* What is in the way goes, however deep it is: see remove.c. */
int pe_remove_tree(int dirfd, const char *name)
{
    struct sweep *sweep = malloc(sizeof *sweep);

    if (!sweep)
        return -ENOMEM;
    int removed = remove_tree(dirfd, name, sweep);
    free(sweep);
    return removed;
}
