/* Mounts through the kernel's new mount API: made as fds, belonging nowhere
 * until they are put somewhere, gone with the fd if they never are. */
#include "internal.h"
#include <sys/utsname.h>

enum { LONGEST_OPTION = 256, MOST_JOINED = 16 };

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

/* Layers are named by fd: a path may be longer than the 255 bytes fsconfig(2) takes, or hold a ':' or '\\',
 * and the container reads these names in its mountinfo.  They are looked up when they are set; before
 * Linux 6.5, when the overlay is made. */
static int set_layer(int context, const char *key, int layer)
{
    char name[FD_NAME];

    name_fd(layer, name);
    return set_string(context, key, name);
}

static int open_layer(const char *path)
{
    return (int)SYS(openat, AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static int append_lowers(int context, const char *lowers, int below)
{
    for (const char *lower = lowers; *lower; lower += length(lower) + 1) {
        OWNED_FD layer = (int)TRY(open_layer(lower));
        TRY(set_layer(context, "lowerdir+", layer));
    }
    return below < 0 ? 0 : set_layer(context, "lowerdir+", below);
}

/* Before Linux 6.7 overlay knows no "lowerdir+": all of them go into one text. */
static int join_lowers(int context, const char *lowers, int below, int *layers)
{
    char joined[LONGEST_OPTION];
    size_t n = 0;

    for (const char *lower = lowers; *lower || below >= 0; lower += length(lower) + 1) {
        if (n + FD_NAME > sizeof joined)
            return -E2BIG;
        if (n)
            joined[n++] = ':';
        name_fd(*lower ? *layers++ = (int)TRY(open_layer(lower)) : below, joined + n);
        n += length(joined + n);
        if (!*lower)
            break;
    }
    return set_string(context, "lowerdir", joined);
}

static int configure(int context, const char *upper, const char *work, uint64_t flags)
{
    OWNED_FD upper_layer = upper ? (int)TRY(open_layer(upper)) : -1;
    OWNED_FD work_layer = upper ? (int)TRY(open_layer(work)) : -1;

    if (upper) {
        TRY(set_layer(context, "upperdir", upper_layer));
        TRY(set_layer(context, "workdir", work_layer));
    }
    if (flags & PE_OVERLAY_VOLATILE) /* no sync at unmount: what is thrown away need not reach the disk */
        TRY(set_option(context, "volatile"));
    if (flags & PE_OVERLAY_USERXATTR)
        TRY(set_option(context, "userxattr"));
    return make(context, flags & PE_OVERLAY_READONLY ? MOUNT_ATTR_RDONLY : 0);
}

static int open_overlay(void)
{
    OWNED_FD context = (int)TRY(SYS(fsopen, "overlay", FSOPEN_CLOEXEC));
    int ready = context;

    TRY(set_string(context, "source", "overlay"));
    context = -1;
    return ready;
}

static int make_joined(const char *lowers, int below, const char *upper, const char *work, uint64_t flags)
{
    OWNED_FD context = (int)TRY(open_overlay());
    int layers[MOST_JOINED], made;

    for (int i = 0; i < MOST_JOINED; i++)
        layers[i] = -1;
    made = join_lowers(context, lowers, below, layers);
    if (made == 0)
        made = configure(context, upper, work, flags);
    for (int i = 0; i < MOST_JOINED; i++)
        close_fd(&layers[i]);
    return made;
}

static int number(const char **text)
{
    int n = 0;

    for (; **text >= '0' && **text <= '9' && n < 1000; ++*text)
        n = n * 10 + **text - '0';
    return n;
}

/* Before Linux 6.5 an option that overlay does not know is told to the host's log, each time. */
static int is_told_to_the_log(void)
{
    struct utsname name;
    const char *at = name.release;

    if (SYS(uname, &name) < 0)
        return 0;
    int major = number(&at);

    at += *at == '.';
    return major < 6 || (major == 6 && number(&at) < 5);
}

int make_overlay(const char *lowers, int below, const char *upper, const char *work, uint64_t flags)
{
    if (is_told_to_the_log())
        return make_joined(lowers, below, upper, work, flags);

    OWNED_FD context = (int)TRY(open_overlay());
    int made = append_lowers(context, lowers, below);

    if (made == 0)
        made = configure(context, upper, work, flags);
    return made == -EINVAL ? make_joined(lowers, below, upper, work, flags) : made;
}
