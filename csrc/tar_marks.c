/* Extended attributes, while their file is packed: an overlay's marks, and those that go into the archive. */
#include "pack.h"
#include <stdlib.h>
#include <string.h>

/* A file's capabilities as a user namespace sees them (version 3) have that one's root in them, which means
 * nothing elsewhere: without it they are version 2. */
enum { CAPS_V3 = 24, CAPS_V2 = 20 };

static int is_overlay(const char *name, const char **mark)
{
    static const char *const prefixes[] = {"trusted.overlay.", "user.overlay."};

    for (int i = 0; i < 2; i++)
        if (!strncmp(name, prefixes[i], strlen(prefixes[i]))) {
            *mark = name + strlen(prefixes[i]);
            return i + 1;
        }
    return 0;
}

/* What tells of this host only. */
static int stays_here(const char *name)
{
    return !strcmp(name, "security.selinux") || !strcmp(name, "security.ima") ||
           !strcmp(name, "security.evm");
}

static long read_value(struct marks *marks, const char *path, const char *name)
{
    long size = SYS(getxattr, path, name, marks->value, sizeof marks->value);

    return size == -ENODATA ? -EAGAIN : size;
}

static int read_overlay_mark(struct marks *marks, const char *path, const char *name, const char *mark)
{
    if (!strcmp(mark, "opaque")) {
        long size = read_value(marks, path, name);
        marks->opaque = size == 1 && marks->value[0] == 'y';
        return size < 0 && size != -EAGAIN ? (int)size : 0;
    }
    /* its content, or its directory, lies elsewhere than here */
    return strcmp(mark, "redirect") && strcmp(mark, "metacopy") ? 0 : WRONG(OVERLAY);
}

static int read_attribute(struct marks *marks, const char *path, const char *name, unsigned flags)
{
    const char *mark;
    int overlay = is_overlay(name, &mark);

    if (overlay)
        return (flags & PE_PACK_OVERLAY) && overlay == (flags & PE_PACK_USER_XATTRS ? 2 : 1)
                   ? read_overlay_mark(marks, path, name, mark)
                   : 0;
    if (stays_here(name))
        return 0;
    long size = read_value(marks, path, name);
    if (size == -EAGAIN)
        return 0; /* gone meanwhile */
    TRY(size);
    if (!strcmp(name, "security.capability") && size == CAPS_V3 && marks->value[3] == 3) {
        marks->value[3] = 2;
        size = CAPS_V2;
    }
    return add_record(&marks->records, "SCHILY.xattr.", name, marks->value, (size_t)size);
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int read_sorted(struct marks *marks, const char *path, size_t size, unsigned flags)
{
    const char **names;
    size_t n = 0;
    int read = 0;

    for (size_t at = 0; at < size; at += strlen(marks->list + at) + 1)
        n++;
    names = malloc(n * sizeof *names);
    if (!names)
        return -ENOMEM;
    n = 0;
    for (size_t at = 0; at < size; at += strlen(marks->list + at) + 1)
        names[n++] = marks->list + at;
    qsort(names, n, sizeof *names, by_text);
    for (size_t i = 0; i < n && read == 0; i++)
        read = read_attribute(marks, path, names[i], flags);
    free(names);
    return read;
}

/* *fd* may be one that only holds its file (O_PATH); its path in /proc leads to the file, link or not. */
int read_marks(struct marks *marks, int fd, unsigned flags)
{
    char path[FD_NAME];

    marks->opaque = 0;
    marks->records.size = 0;
    name_fd(fd, path);
    long size = SYS(listxattr, path, marks->list, sizeof marks->list);
    if (size == -EOPNOTSUPP || size == 0)
        return 0;
    return read_sorted(marks, path, (size_t)TRY(size), flags);
}
