/* Mounts through the kernel's new mount API: made as fds, belonging nowhere
 * until they are put somewhere, gone with the fd if they never are. */
#include "internal.h"

enum { LONGEST_OPTION = 4096 };

static int set_string(int context, const char *key, const char *value)
{
    return (int)SYS(fsconfig, context, FSCONFIG_SET_STRING, key, value, 0);
}

/* "key=value" or "flag". */
static int set_option(int context, const char *option)
{
    char key[64];
    size_t n = 0;

    while (option[n] && option[n] != '=') {
        if (n + 1 >= sizeof key)
            return -ENAMETOOLONG;
        key[n] = option[n];
        n++;
    }
    key[n] = 0;
    if (option[n])
        return set_string(context, key, option + n + 1);
    return (int)SYS(fsconfig, context, FSCONFIG_SET_FLAG, key, NULL, 0);
}

static int make(int context, uint64_t attributes)
{
    TRY(SYS(fsconfig, context, FSCONFIG_CMD_CREATE, NULL, NULL, 0));
    return (int)SYS(fsmount, context, FSMOUNT_CLOEXEC, attributes);
}

int make_mount(const char *kind, const char *options, uint64_t attributes)
{
    OWNED_FD context = (int)TRY(SYS(fsopen, kind, FSOPEN_CLOEXEC));

    for (const char *option = options; option && *option; option += length(option) + 1)
        TRY(set_option(context, option));
    return make(context, attributes);
}

/* Before Linux 6.5 overlay knows no "lowerdir+": all lower directories go into
 * one text, where ':' parts them and '\' protects. */
static int set_lowers_joined(int context, const char *lowers)
{
    char joined[LONGEST_OPTION];
    size_t n = 0;

    for (const char *lower = lowers; *lower; lower += length(lower) + 1) {
        if (n)
            joined[n++] = ':';
        for (const char *c = lower; *c; c++) {
            if (n + 4 >= sizeof joined)
                return -E2BIG;
            if (*c == ':' || *c == '\\')
                joined[n++] = '\\';
            joined[n++] = *c;
        }
    }
    joined[n] = 0;
    return set_string(context, "lowerdir", joined);
}

static int set_lowers(int context, const char *lowers)
{
    for (const char *lower = lowers; *lower; lower += length(lower) + 1) {
        int set = set_string(context, "lowerdir+", lower);

        if (set == -EINVAL && lower == lowers)
            return set_lowers_joined(context, lowers);
        TRY(set);
    }
    return 0;
}

int make_overlay(const char *lowers, const char *upper, const char *work, uint64_t flags)
{
    OWNED_FD context = (int)TRY(SYS(fsopen, "overlay", FSOPEN_CLOEXEC));

    TRY(set_string(context, "source", "overlay"));
    TRY(set_lowers(context, lowers));
    if (upper) {
        TRY(set_string(context, "upperdir", upper));
        TRY(set_string(context, "workdir", work));
    }
    if (flags & PE_OVERLAY_VOLATILE) /* no sync at unmount: what is thrown away need not reach the disk */
        TRY(set_option(context, "volatile"));
    if (flags & PE_OVERLAY_USERXATTR)
        TRY(set_option(context, "userxattr"));
    return make(context, flags & PE_OVERLAY_READONLY ? MOUNT_ATTR_RDONLY : 0);
}

int pe_overlay(const char *lowers, const char *upper, const char *work, uint64_t flags)
{
    return make_overlay(lowers, upper, work, flags);
}

int pe_open_tree(int dirfd, const char *path, unsigned flags)
{
    return (int)SYS(open_tree, dirfd, path, flags);
}
