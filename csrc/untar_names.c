/* Names of entries: where in the layer they lead, and which are whiteouts. */
#include "untar.h"
#include <string.h>

static int is_part(const char *part, size_t size, const char *wanted)
{
    return size == strlen(wanted) && !memcmp(part, wanted, size);
}

/* Parts with a slash between them, none of them "." or "..": without links, which are not looked at here, the
 * same place.  A name that leads out of the layer is refused; an absolute one begins at it. */
int clean_name(const char *name, char clean[LONGEST_NAME + 1])
{
    size_t n = 0;

    for (const char *part = name, *end; *part; part = end) {
        while (*part == '/')
            part++;
        end = strchrnul(part, '/');
        size_t size = (size_t)(end - part);
        if (is_part(part, size, "..")) {
            if (!n)
                return WRONG(OUTSIDE);
            while (n && clean[--n] != '/')
                ;
        } else if (size && !is_part(part, size, ".")) {
            if (n)
                clean[n++] = '/';
            memcpy(clean + n, part, size); /* never longer than the name itself */
            n += size;
        }
    }
    clean[n] = 0;
    return 0;
}

/* The last part, and how long the path to its directory is. */
const char *split_name(const char *path, size_t *parent_length)
{
    const char *slash = strrchr(path, '/');

    *parent_length = slash ? (size_t)(slash - path) : 0;
    return slash ? slash + 1 : path;
}

static int begins(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

/* ".wh.NAME" hides NAME of the layers below, ".wh..wh..opq" all there is in its directory; other names of
 * that kind were aufs's own, and mean nothing to anybody else. */
int whiteout_kind(char *clean)
{
    size_t length;
    char *part = clean, *base = clean + (split_name(clean, &length) - clean);

    for (; part < base; part = strchr(part, '/') + 1) {
        if (begins(part, ".wh..wh."))
            return NAME_NOTHING;
        if (begins(part, ".wh."))
            return WRONG(WHITEOUT);
    }
    if (!begins(base, ".wh."))
        return NAME_FILE;
    if (!strcmp(base, ".wh..wh..opq")) {
        clean[length] = 0;
        return NAME_OPAQUE;
    }
    if (begins(base, ".wh..wh."))
        return NAME_NOTHING;
    if (!base[4] || !strcmp(base + 4, ".") || !strcmp(base + 4, ".."))
        return WRONG(WHITEOUT);
    memmove(base, base + 4, strlen(base + 4) + 1);
    return NAME_WHITEOUT;
}
